"""Fuzzing of all that reads bytes of others, guided by coverage: ``python -m bench.fuzz --for 60``.

Atheris (libFuzzer for Python) lives in a folder of your cache, locked by ``bench/fuzz.txt``, never in the
repository's environment. The fixtures are the corpus; what covers more is kept in the cache for the next time.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
LONGEST = 8192  # bytes of an input
SLOWEST_S = 10  # of one input; it takes milliseconds
MEMORY_MB = 1024
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "joulegate-bench"


def main() -> int:
    """Fuzz, or try a finding again."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="what to fuzz; all unless named (--list)")
    parser.add_argument("--for", dest="seconds", type=int, default=60, help="seconds for each target")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets at once")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--again", type=Path, metavar="FILE", help="try one input on the one TARGET named")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # a target's own process: its corpus
    arguments = parser.parse_args()
    if arguments.inside:
        _fuzz(arguments.targets[0], arguments.inside, arguments.seconds)
    from bench.fuzz_targets import TARGETS

    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; --list names the targets")
    names = arguments.targets or list(TARGETS)
    if arguments.list:
        print("\n".join(TARGETS))
        return 0
    if arguments.again:
        TARGETS[names[0]](arguments.again.read_bytes())
        print("holds")
        return 0
    fuzzer()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        held = pool.map(lambda name: _run(name, arguments.seconds), names)
        failed = [name for name, holds in zip(names, held, strict=True) if not holds]
    print(f"{len(names) - len(failed)} of {len(names)} hold" + "".join(f"\n  not: {name}" for name in failed))
    return 1 if failed else 0


def fuzzer() -> Path:
    """Where Atheris is; installed from its lock on first use."""
    lock = HERE / "fuzz.txt"
    folder = CACHE / f"atheris-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}-{sys.version_info.minor}"
    if not (folder / ".ready").exists():
        print(f"Installing Atheris into {folder} …", file=sys.stderr, flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "--target", str(folder), "--requirement", str(lock)], check=True)
        (folder / ".ready").touch()
    return folder


def _run(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; tell whether it held."""
    from bench.fuzz_targets import seeds, words

    folder = CACHE / "fuzz" / name.replace("/", ".")
    corpus, findings = folder / "corpus", folder / "findings"
    for each in (corpus, findings):
        each.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    (folder / "words").write_text("".join(f'"{_escaped(word)}"\n' for word in words(name)))
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "bench.fuzz", name, "--for", str(seconds), "--inside", str(folder)],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    (folder / "log").write_bytes(ran.stdout)
    log = ran.stdout.decode(errors="replace")
    inputs, covered = [("0", "0"), *re.findall(r"^#(\d+)\t.* cov: (\d+)", log, re.MULTILINE)][-1]
    seconds_taken, verdict = time.monotonic() - began, "FAILED" if ran.returncode else "holds"
    print(f"{name:28} {verdict:6} {seconds_taken:5.0f} s {inputs:>9} inputs, {covered} branches", flush=True)
    if ran.returncode:
        print(log[-3000:], f"see {folder}", sep="\n")
    return ran.returncode == 0


def _fuzz(name: str, folder: Path, seconds: int) -> None:
    """Hand a target to libFuzzer, which never returns."""
    sys.path.append(str(fuzzer()))
    import atheris

    with atheris.instrument_imports(include=["proxy.wire"]):
        from bench.fuzz_targets import TARGETS
    options = {
        "max_total_time": seconds,
        "max_len": LONGEST,
        "timeout": SLOWEST_S,
        "rss_limit_mb": MEMORY_MB,
        "artifact_prefix": f"{folder}/findings/",
        "dict": folder / "words",
        "print_final_stats": 0,
    }
    atheris.Setup([name, *(f"-{key}={value}" for key, value in options.items()), str(folder / "corpus")], TARGETS[name])
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
