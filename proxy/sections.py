"""What a configuration may say: its sections, decoded strictly, with every default."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from estimator.grid import grid as grid_of

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
TeamName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Zone = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$")]  # of electricity: ISO 3166-1 alpha-3, WOR
Pattern = Annotated[str, msgspec.Meta(min_length=1)]  # as a shell has it


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is an error that names it."""


class GateSection(Section, frozen=True):
    """The data plane."""

    listen: str = "127.0.0.1:8700"
    workers: Positive = 1
    keys: Literal["open", "required"] = "open"  # required: a call without a key of ours is refused
    estimate_headers: bool = True  # x-joulegate-cost-usd and its kin on replies that are not streamed
    connect_timeout_s: Seconds = 10.0
    drain_s: Seconds = 60.0  # how long a reply is read to its end after its client has gone
    drain_calls: Count = 256  # how many replies are drained at once; beyond it they are cancelled
    shutdown_s: Seconds = 30.0  # how long streams may go on after SIGTERM
    replaced_s: Seconds = 600.0  # how long streams may go on in a worker that SIGHUP replaces
    ready_lag_s: Amount = 900.0  # /readyz says no while the ledger is further behind; 0: however far it is
    hold_body_bytes: Positive = 64 * 1024 * 1024  # a request body is held in memory up to here to read its model
    header_bytes: Positive = 64 * 1024  # a request's head, chunk extensions and trailers may have at most this many
    head_s: Seconds = 30.0  # how long a head may take to arrive; a body may take any time


class ConsoleSection(Section, frozen=True):
    """The web UI, ``/metrics`` and the JSON API."""

    listen: str = "127.0.0.1:8701"
    token: str | None = None  # a reference: who has it may use the console; needed where that is off loopback
    tokens: dict[Name, str] = {}  # more of them, by the name that the log of changes has


class LedgerSection(Section, frozen=True):
    """Where calls are kept."""

    url: str = "sqlite:///joulegate.db"
    keep_days: Positive | None = None  # of rows; sums stay
    tz: str | None = None  # whose days sums are kept of beside UTC's, and what reports and pages mean by a day


class MirrorSection(Section, frozen=True):
    """Where the ledger is copied to."""

    url: str | None = None  # of a ClickHouse


class JournalSection(Section, frozen=True):
    """Where calls are written down before the ledger has them."""

    directory: str = "joulegate-journal"
    fsync: Literal["never", "interval", "always"] = "interval"


class LogSection(Section, frozen=True):
    """What the service says of itself on standard error."""

    format: Literal["text", "json"] = "text"


class ProviderSection(Section, frozen=True):
    """One provider; laid over the shipped one of the same name, key by key."""

    name: Name
    origin: str | None = None
    dialect: Literal["openai", "anthropic", "gemini", "bedrock", "cohere", "ollama"] = "openai"
    surface: Literal["openai", "anthropic", "gemini", "bedrock", "cohere", "ollama"] | None = None  # a name for dialect
    base: str = "/v1"
    credential: str | None = None
    credential_in: Literal["authorization", "x-api-key", "api-key", "x-goog-api-key", "sigv4"] = "authorization"
    secret_access_key: str | None = None  # with credential_in = "sigv4", where credential is the access key's id
    session_token: str | None = None
    stream_usage: Literal["on_request", "always"] = "on_request"
    inject_usage: Literal["auto", "never"] = "auto"
    on_abort: Literal["drain", "cancel"] = "drain"
    models: tuple[str, ...] = ()
    zone: Zone | None = None
    region: str | None = None  # "aws:eu-north-1": the grid zone follows from it


def zone_of(provider: ProviderSection, otherwise: str | None) -> str | None:
    """Give the electricity zone of a provider's machines; ``otherwise`` is where one stands that does not say."""
    return grid_of(provider.region).zone if provider.region is not None else provider.zone or otherwise


class RouteSection(Section, frozen=True):
    """Model names (shell patterns) that go to a provider."""

    match: str
    provider: Name
    team: str | None = None  # only for calls of this team
    model: str | None = None  # what to ask the provider for instead: the name asked for is an alias
    fallback: tuple[Name, ...] = ()  # providers to try in turn where a connection cannot be made
    via: Literal["litellm"] | None = None  # who translates, for a provider that has no API like OpenAI's
    options: dict[str, str | int | float | bool] = {}  # what it must know beside the model: where to, which project


class KeySection(Section, frozen=True):
    """A key of ours: only its hash is kept. What it may be used for is limited by the last four."""

    id: str
    sha256: Digest
    project: str | None = None
    user: str | None = None
    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    networks: tuple[str, ...] = ()  # of callers, as seen by the gate: 10.0.0.0/8
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()  # as asked for; shell patterns


class TeamSection(Section, frozen=True):
    """A team and its keys."""

    name: TeamName
    key: tuple[KeySection, ...] = ()


class EstimateSection(Section, frozen=True):
    """What holds for every estimate."""

    unknown: Literal["null", "widest"] = "null"  # a model nobody knows: no energy, or the widest prior there is
    zone: Zone | None = None  # of providers that name neither zone nor region
    price_list: str | None = None  # a file of prices of one's own


class AliasSection(Section, frozen=True):
    """What a free name, such as an Azure deployment's, stands for; case does not matter."""

    name: Pattern
    model: Pattern
    provider: Name | None = None  # None: at every one


class DeploymentSection(Section, frozen=True):
    """What is known of the machines that serve some models; the first row that fits a call holds."""

    provider: Pattern = "*"
    model: Pattern = "*"
    gpu: str | None = None
    n_gpus: Positive | None = None
    precision: str | None = None
    batch: float | None = None  # sequences decoded together, on average
    tensor_parallel: Positive | None = None
    kv_bytes: float | None = None  # per element of the KV cache
    host_share: Amount | None = None  # the host's watts per GPU as a share of the GPU's TDP
    reserve: float | None = None  # factor for idle machines kept ready
    pue: float | None = None
    market_grams_per_kwh: Amount | None = None  # of the electricity bought


class EvidenceSection(Section, frozen=True):
    """Joules that a meter or a provider states as a mean of its calls; the first row that fits a call holds."""

    kind: Literal["measured", "disclosed"]
    scope: Literal["gpu", "it", "facility"]  # the accelerators alone, the servers, or all with cooling
    source: Pattern
    provider: Pattern = "*"
    model: Pattern = "*"
    joules_per_call: Amount = 0.0
    joules_per_input_token: Amount = 0.0  # not read from a cache
    joules_per_cached_input_token: Amount = 0.0
    joules_per_output_token: Amount = 0.0
    band: tuple[float, float] | None = None  # 90 % multipliers of the stated mean


class GridSection(Section, frozen=True):
    """Who is asked for the grid's intensity by the hour, for which zones."""

    source: Literal["electricity_maps", "watttime", "carbon_intensity_uk"]
    zones: Annotated[tuple[Zone, ...], msgspec.Meta(min_length=1)]
    credential: str | None = None
    codes: dict[Zone, str] = {}  # zone → what the source calls it, or a finer part of it


class BudgetSection(Section, frozen=True):
    """What calls of a team, project, user or key may use of something in a window of time; of all that are named."""

    name: Name
    unit: Literal["usd", "kwh", "gco2e", "liters", "tokens", "requests", "concurrent_requests"]
    limit: Annotated[float, msgspec.Meta(gt=0)]
    team: TeamName | None = None
    project: str | None = None
    user: str | None = None
    key: str | None = None  # its id
    window: str | None = None  # minute, hour, day, week, month, or the last 24h, 30d, …
    tz: str | None = None  # whose days, weeks and months; ledger.tz, else UTC
    mode: Literal["soft", "hard"] = "soft"  # hard: calls beyond it are refused
    thresholds: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] = (0.8, 1.0)  # shares of the limit that are told


class MailSection(Section, frozen=True):
    """The server that notices by mail are handed to."""

    host: str | None = None
    port: Positive = 587
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: str | None = None
    sender: str | None = None


class NotifySection(Section, frozen=True):
    """Who is told of what: at one of webhook, mail and directory."""

    name: Name
    events: Annotated[tuple[Literal["budget", "unpriced", "anomaly", "statement"], ...], msgspec.Meta(min_length=1)]
    webhook: str | None = None  # env:NAME or file:PATH, or the address itself where it is no secret
    secret: str | None = None  # what webhooks are signed with
    mail: tuple[str, ...] = ()
    directory: str | None = None
    teams: tuple[TeamName, ...] = ()  # whose; none: one statement of all teams, every budget and anomaly
    form: Literal["html", "pdf"] = "html"  # of statements


class Config(Section, frozen=True):
    """The whole file."""

    gate: GateSection = GateSection()
    console: ConsoleSection = ConsoleSection()
    ledger: LedgerSection = LedgerSection()
    mirror: MirrorSection = MirrorSection()
    journal: JournalSection = JournalSection()
    log: LogSection = LogSection()
    provider: tuple[ProviderSection, ...] = ()
    route: tuple[RouteSection, ...] = ()
    team: tuple[TeamSection, ...] = ()
    estimate: EstimateSection = EstimateSection()
    alias: tuple[AliasSection, ...] = ()
    deployment: tuple[DeploymentSection, ...] = ()
    evidence: tuple[EvidenceSection, ...] = ()
    grid: tuple[GridSection, ...] = ()
    budget: tuple[BudgetSection, ...] = ()
    mail: MailSection = MailSection()
    notify: tuple[NotifySection, ...] = ()


# The tables of single values, which environment variables and flags may override.
SETTINGS: dict[str, type[Section]] = {
    "gate": GateSection,
    "console": ConsoleSection,
    "ledger": LedgerSection,
    "mirror": MirrorSection,
    "journal": JournalSection,
    "log": LogSection,
    "estimate": EstimateSection,
    "mail": MailSection,
}
