from __future__ import annotations

import pytest

from proxy.budgets.budget import budgets_of
from proxy.config import load, resolve_secret, split_listen
from proxy.errors import ConfigError


def write(tmp_path, toml: str):
    file = tmp_path / "my.toml"
    file.write_text(toml)
    return file


def test_nothing_at_all_is_a_configuration():
    loaded = load(environment={})
    assert loaded.config.gate.listen == "127.0.0.1:8700"
    assert loaded.config.console.listen == "127.0.0.1:8701"
    assert loaded.config.ledger.url == "sqlite:///joulegate.db"
    assert {"openai", "anthropic", "gemini", "ollama"} <= {provider.name for provider in loaded.config.provider}
    assert loaded.origins == {}


def test_flags_override_the_environment_overrides_the_file(tmp_path):
    file = write(tmp_path, '[gate]\nlisten = "a:1"\nworkers = 2\ndrain_s = 3\n')
    environment = {"JOULEGATE_GATE_LISTEN": "b:2", "JOULEGATE_GATE_WORKERS": "4", "PATH": "x"}
    loaded = load(file, environment=environment, flags={"gate.listen": "c:3"})
    assert (loaded.config.gate.listen, loaded.config.gate.workers, loaded.config.gate.drain_s) == ("c:3", 4, 3.0)
    assert loaded.origins == {"gate.listen": "flag", "gate.workers": "environment", "gate.drain_s": "my.toml"}


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ("1", True), ("0", False)])
def test_the_environment_is_read_as_what_it_stands_for(text, value):
    assert load(environment={"JOULEGATE_GATE_ESTIMATE_HEADERS": text}).config.gate.estimate_headers is value


def test_variables_that_are_no_setting_are_named_and_ignored():
    environment = {"JOULEGATE_PORT": "tcp://10.0.0.1:8700", "JOULEGATE_GATE_SERVICE_HOST": "10.0.0.1"}
    assert load(environment=environment).ignored == ("JOULEGATE_PORT", "JOULEGATE_GATE_SERVICE_HOST")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[gate]\nlisen = 'x'", "lisen"),
        ("[gates]\n", "gates"),
        ("[gate]\nworkers = 'two'", "gate.workers"),
        ("[gate]\nworkers = 0", "gate.workers"),
        ("[gate]\nkeys = 'maybe'", "gate.keys"),
        ("[gate]\nlisten = '8700'", "HOST:PORT"),
        ("[console]\nlisten = 'a:99999'", "HOST:PORT"),
        ("[ledger]\ntz = 'Europe/Atlantis'", 'ledger.tz = "Europe/Atlantis" is no IANA time zone such as UTC'),
        ("[ledger]\ntz = '../etc/passwd'", "is no IANA time zone"),
        ("gate = 7", "write \\[gate\\]"),
        ("provider = 7", "write \\[\\[provider\\]\\]"),
        ("[provider]\nname = 'x'", "write \\[\\[provider\\]\\]"),
        ("[[provider]]\norigin = 'http://x'", "needs a name"),
        ("[[provider]]\nname = 'Openai'", "provider `Openai`"),
        ("[[provider]]\nname = 'x'\nsecret = 'y'", "provider `x`.*secret"),
        ("[[provider]]\nname = 'x'\norigin = 'x.example'", "scheme, host and port"),
        ("[[provider]]\nname = 'x'\norigin = 'http://x/v1'", "scheme, host and port"),
        ("[[provider]]\nname = 'x'\norigin = 'http://x:99999'", "scheme, host and port"),
        ("[[provider]]\nname = 'x'\nzone = 'FRA'\nregion = 'aws:eu-north-1'", "`x`.*FRA.*aws:eu-north-1.*keep one"),
        ("[[provider]]\nname = 'x'\norigin = 'ftp://x'", "scheme, host and port"),
        ("[[provider]]\nname = 'x'\nzone = 'Germany'", "provider `x`.*zone"),
        ("[[provider]]\nname = 'x'\ninject_usage = 'always'", "provider `x`.*inject_usage"),
        ("[[route]]\nmatch = 'x'\nprovider = 'nobody'", "route `x` names provider `nobody`; known are .*openai"),
        ("[[team]]\nname = 'a'\n[[team]]\nname = 'a'", "team `a` is there twice"),
        ("[[team]]\nname = ''", "team"),
        ("[[team]]\nname = 'a'\n[[team.key]]\nid = 'k'\nsha256 = 'jg-plain'", "sha256"),
        ("x = = 1", "not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_the_file(tmp_path, toml, said):
    with pytest.raises(ConfigError, match=said) as error:
        load(write(tmp_path, toml), environment={})
    assert "my.toml" in str(error.value) or said == "HOST:PORT"


def test_a_mistake_in_the_environment_is_named_with_its_variable():
    with pytest.raises(ConfigError, match="JOULEGATE_GATE_WORKERS='many'"):
        load(environment={"JOULEGATE_GATE_WORKERS": "many"})


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml", environment={})


def test_a_provider_is_laid_over_the_shipped_one_key_by_key(tmp_path):
    toml = '[[provider]]\nname = "anthropic"\ninject_usage = "never"\n[[provider]]\nname = "mine"\n'
    toml += 'origin = "http://gpu:8000"\nsurface = "ollama"\n'
    providers = {provider.name: provider for provider in load(write(tmp_path, toml), environment={}).config.provider}
    assert providers["anthropic"].origin == "https://api.anthropic.com"
    assert (providers["anthropic"].inject_usage, providers["anthropic"].credential_in) == ("never", "x-api-key")
    assert (providers["mine"].dialect, providers["mine"].base, providers["mine"].on_abort) == ("ollama", "/v1", "drain")


def test_a_region_takes_the_place_of_the_shipped_zone(tmp_path):
    file = write(tmp_path, '[[provider]]\nname = "openai"\nregion = "aws:eu-north-1"\n')
    openai = next(row for row in load(file, environment={}).config.provider if row.name == "openai")
    assert (openai.zone, openai.region) == (None, "aws:eu-north-1")


def test_every_shipped_provider_is_usable():
    for provider in load(environment={}).config.provider:
        assert provider.credential is None
        assert provider.base == "" or provider.base.startswith("/")


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8700", ("127.0.0.1", 8700)),
        ("[::1]:0", ("::1", 0)),
        (":80", ("127.0.0.1", 80)),
        ("h:65535", ("h", 65535)),
    ],
)
def test_where_to_listen(listen, address):
    assert split_listen(listen) == address


@pytest.mark.parametrize("listen", ["", "8700", "host", "host:", "host:-1", "host:65536", "host:٣", "host:1x"])
def test_where_not_to_listen(listen):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        split_listen(listen)


def test_secrets_come_from_the_environment_or_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text("sk-file\n")
    assert resolve_secret("env:KEY", owner="p", environment={"KEY": "sk-env"}) == b"sk-env"
    assert resolve_secret(f"file:{file}", owner="p") == b"sk-file"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("file:/dev/null", "is empty"),
        ("env:NOT_SET", "NOT_SET is not set"),
        ("file:/nowhere/key", "cannot be read"),
        ("sk-canary", "never the key itself"),
        ("env:ODD", "cannot stand in an HTTP header"),
    ],
)
def test_a_secret_that_cannot_be_had_is_said_without_it(reference, said):
    with pytest.raises(ConfigError, match=said) as error:
        resolve_secret(reference, owner="provider p", environment={"ODD": "canary\r\nx: y"})
    assert "provider p" in str(error.value)
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "setting", "allowed"),
    [
        ('[gate]\nkeys = "opn"\n', "gate.keys", "open, required"),
        ("[gate]\nkeys = 3\n", "gate.keys", "open, required"),
        ('[journal]\nfsync = "daily"\n', "journal.fsync", "always, interval, never"),
        ('[estimate]\nunknown = "zero"\n', "estimate.unknown", "null, widest"),
        ('[[provider]]\nname = "x"\non_abort = "wait"\n', "on_abort", "cancel, drain"),
        (
            '[[provider]]\nname = "x"\nsurface = "soap"\n',
            "surface",
            "anthropic, bedrock, cohere, gemini, ollama, openai",
        ),
        (
            '[[evidence]]\nkind = "felt"\nscope = "gpu"\nsource = "s"\n',
            "evidence[0].kind",
            "disclosed, measured",
        ),
    ],
)
def test_a_wrong_word_is_told_the_right_ones(tmp_path, text, setting, allowed):
    file = tmp_path / "joulegate.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as told:
        load(file, environment={})
    assert str(told.value).endswith(f"{setting}`; allowed are {allowed}")


def test_a_wrong_word_in_the_environment_is_told_the_right_ones():
    with pytest.raises(ConfigError, match=r"JOULEGATE_GATE_KEYS='opn'.*; allowed are open, required$"):
        load(environment={"JOULEGATE_GATE_KEYS": "opn"})
    with pytest.raises(ConfigError, match=r"workers`$"):
        load(environment={"JOULEGATE_GATE_WORKERS": "none"})


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[[provider]]\nname = 'x'\n", "`x`.*origin"),
        ("[[provider]]\nname = 'v1'\norigin = 'http://a'\n", "`v1`.*paths"),
        ("[gate]\nlisten = '127.0.0.1:9'\n[console]\nlisten = '127.0.0.1:9'\n", "both 127.0.0.1:9"),
    ],
)
def test_what_cannot_work_together_is_refused(tmp_path, toml, said):
    file = tmp_path / "joulegate.toml"
    file.write_text(toml)
    with pytest.raises(ConfigError, match=said):
        load(file, environment={})


def test_budgets_have_the_days_of_the_ledger_where_they_name_no_others(tmp_path):
    budget = '[[budget]]\nname = "{}"\nteam = "search"\nunit = "usd"\nlimit = 1\nwindow = "month"\n'
    both = budget.format("a") + budget.format("b") + 'tz = "Europe/Berlin"\n'
    of_ledger = load(write(tmp_path, f'[ledger]\ntz = "Asia/Kolkata"\n{both}'), environment={}).config
    of_none = load(write(tmp_path, both), environment={}).config
    zones = [[str(each.window.zone) for each in budgets_of(config.budget)] for config in (of_ledger, of_none)]
    assert zones == [["Asia/Kolkata", "Europe/Berlin"], ["UTC", "Europe/Berlin"]]
