"""Take the pictures of docs/images anew, of a demo that runs for the purpose; or of every page, to look at them.

    python -m bench.pictures               docs/images/*.png (three minutes; needs chromium and what the demo needs)
    python -m bench.pictures --all DIR     every page, 1280 and 360 pixels wide, light and dark, of all its height

The demo writes into a folder that is deleted after.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from proxy.console.frame import PLACES
from tests.console.browser import Browser, browser

IMAGES = Path(__file__).parent.parent / "docs/images"
TRAFFIC_S = 150  # of the demo, so that three minutes of lines are nearly full
WIDTH = 1280
# File, path, colours, width and height in pixels (the tops of the pages).
PICTURES = (
    ("console", "/", "light", 1280, 760),
    ("console-narrow", "/", "dark", 360, 760),
    ("console-explore", "/explore?by=model&measure=energy", "light", 1100, 760),
    ("calculator", "/calculator", "light", 1280, 1000),
    ("calculator-dark", "file", "dark", 1280, 1000),
)
FURTHER = {
    "explore-days": "/explore?by=day&measure=energy",
    "explore-lines": "/explore?by=day,team&measure=energy",
    "explore-two": "/explore?by=model,provider&measure=carbon",
    "calls": "/calls",
    "prices": "/facts?show=prices",
    "grids": "/facts?show=grids",
    "missing": "/facts?show=missing",
    "sources": "/facts?show=sources",
    "wrong": "/explore?by=nonsense",
    "nothing": "/explore?month=2020-01",
    "report": "/api/reports/energy?by=team,model&format=html",
    "statement": "/reports/statement",
}
TALLEST = 3200


@contextlib.contextmanager
def demo() -> Iterator[str]:
    """Run a demo; give the console's address."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        gate, console = (stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in "ab")
        stack.close()  # so that the demo can have the ports
        words = ("serve", "--demo", "--port", str(gate), "--console-port", str(console))
        process = subprocess.Popen([sys.executable, "-m", "proxy.cli", *words], cwd=folder, stdout=subprocess.DEVNULL)
        address = f"http://127.0.0.1:{console}"
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"{address}/healthz").close()
                    break
                except OSError:
                    assert process.poll() is None, "the demo does not start"
                    assert time.monotonic() < deadline, "the demo does not answer"
                    time.sleep(0.2)
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def opened(tab: Browser, url: str) -> None:
    tab.send("Page.navigate", url="about:blank")
    tab.send("Page.navigate", url=url)
    tab.wait("document.readyState == 'complete' && location.href != 'about:blank'", seconds=60)
    tab.evaluate("new Promise((done) => setTimeout(done, 700))", awaited=True)  # what scripts draw


def one_file(folder: Path) -> str:
    page = folder / "calculator.html"
    subprocess.run([sys.executable, "-m", "proxy.cli", "calculator", "--out", str(page)], check=True)
    return page.as_uri()


def take(address: str) -> None:
    with tempfile.TemporaryDirectory() as folder, browser() as tab:
        for name, path, scheme, width, height in PICTURES:
            tab.look(width=width, scheme=scheme, height=height)
            opened(tab, one_file(Path(folder)) if path == "file" else address + path)
            (IMAGES / f"{name}.png").write_bytes(tab.shot(width=width, height=height))


def take_all(address: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(f"{address}/api/calls?limit=50") as reply:
        calls = json.load(reply)["calls"]
    pages = {title.lower(): path for path, title in PLACES} | FURTHER
    pages["call"] = f"/calls/{next(call['id'] for call in calls if call['joules'] is not None)}"
    with browser() as tab:
        for width in (WIDTH, 360):
            for scheme in ("light", "dark"):
                tab.look(width=width, scheme=scheme)
                for name, path in pages.items():
                    opened(tab, address + path)
                    wide, tall = json.loads(
                        tab.evaluate("JSON.stringify(['Width', 'Height'].map((each) =>"
                                     " document.documentElement['scroll' + each]))")
                    )  # fmt: skip
                    (folder / f"{name}-{width}-{scheme}.png").write_bytes(
                        tab.shot(width=width, height=min(tall, TALLEST))
                    )
                    if wide > width:
                        print(f"{name}: {wide} pixels wide on {width}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__.split("\n")[0])
    parser.add_argument("--all", type=Path, metavar="DIR", help="every page, into this folder")
    parser.add_argument("--traffic", type=float, default=TRAFFIC_S, metavar="SECONDS", help="of the demo, before")
    given = parser.parse_args()
    with demo() as address:
        time.sleep(given.traffic)
        if given.all is not None:
            take_all(address, given.all)
        else:
            take(address)


if __name__ == "__main__":
    main()
