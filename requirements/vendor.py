"""Fetch what the console's pages have of others from npm, as vendored.toml says, and refuse what is not it by its hash.

npm's own settings say where from. For a new version write that into vendored.toml, run this, and look at what it names.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "proxy/console/static/vendor"


def fetch(package: str, version: str, into: Path) -> Path:
    """Unpack one package; gives the folder of its files."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("No 'npm' here; on Debian and Ubuntu: apt-get install npm")
    packed = subprocess.run(  # noqa: S603
        [npm, "pack", "--silent", f"{package}@{version}"], cwd=into, check=True, capture_output=True, text=True
    )
    with tarfile.open(into / packed.stdout.strip()) as archive:
        archive.extractall(into / package, filter="data")
    return into / package / "package"


def main() -> None:
    """Write every file that has the hash it should have; end with those that have another."""
    wrong = []
    for package, told in tomllib.loads((FOLDER / "vendored.toml").read_text()).items():
        with tempfile.TemporaryDirectory() as folder:
            files = fetch(package, told["version"], Path(folder))
            for name, file in told["files"].items():
                content = (files / file["from"]).read_bytes()
                found = hashlib.sha256(content).hexdigest()
                if found == file["sha256"]:
                    (FOLDER / name).write_bytes(content)
                else:
                    wrong.append(f"{name}: of {package} {told['version']} it has the hash {found}")
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
