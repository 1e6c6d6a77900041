"""A real browser (Debian's chromium), driven over a pipe as its DevTools protocol allows."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


class Browser:
    """One tab."""

    def __init__(self, read: int, write: int) -> None:
        self._in = os.fdopen(read, "rb", buffering=0)
        self._out = os.fdopen(write, "wb", buffering=0)
        self._held = b""
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []  # violated policies, failed loads, uncaught errors
        self._snapshot: list[str] = []
        (tab,) = [each for each in self.send("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self._session = ""
        self._session = self.send("Target.attachToTarget", targetId=tab["targetId"], flatten=True)["sessionId"]
        for domain in ("Log", "Runtime", "Page"):
            self.send(f"{domain}.enable")

    _session = ""

    def send(self, method: str, *, to_tab: bool = True, **parameters: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session and to_tab:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "Inspected target navigated" in str(answer.get("error")):
                    return {"result": {}}  # the page that was asked is gone
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") == "Log.entryAdded":
                self.complaints.append(answer["params"]["entry"]["text"])
            elif answer.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(answer["params"]))
            elif answer.get("method") == "HeapProfiler.addHeapSnapshotChunk":
                self._snapshot.append(answer["params"]["chunk"])

    def evaluate(self, script: str, *, awaited: bool = False) -> Any:
        given = {"expression": script, "returnByValue": True, "awaitPromise": awaited}
        return self.send("Runtime.evaluate", **given)["result"].get("value")

    def wait(self, script: str, *, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not self.evaluate(script):
            assert time.monotonic() < deadline, f"never: {script}; {self.complaints}"
            time.sleep(0.05)

    def shot(self, *, width: int, height: int | None = None, scale: float = 1) -> bytes:
        """Take a picture of the page (PNG), of all of it where no height is given."""
        tall = height or int(self.evaluate("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": width, "height": tall, "scale": scale}
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"])

    def look(self, *, width: int, scheme: str, height: int = 900) -> None:
        """Look with a screen so wide, in `light` or `dark`."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def heap(self) -> Counter[str]:
        """Give the bytes of JavaScript's heap, after a collection, by the browser's own kinds of what lies there."""
        self._snapshot = []
        self.send("HeapProfiler.takeHeapSnapshot")
        snapshot = json.loads("".join(self._snapshot))
        told, nodes = snapshot["snapshot"]["meta"], snapshot["nodes"]
        step, found = len(told["node_fields"]), Counter[str]()
        kind, size = (told["node_fields"].index(each) for each in ("type", "self_size"))
        for at in range(0, len(nodes), step):
            found[told["node_types"][kind][nodes[at + kind]]] += nodes[at + size]
        return found

    def resident(self) -> int:
        """Give the bytes of memory that the processes drawing pages have for themselves."""
        drawing = [
            each["id"]
            for each in self.send("SystemInfo.getProcessInfo", to_tab=False)["processInfo"]
            if each["type"] == "renderer"
        ]
        kept = (Path(f"/proc/{each}/smaps_rollup").read_text() for each in drawing)
        return sum(
            1024 * int(kb) for text in kept for kb in re.findall(r"^Private_Dirty: +(\d+) kB", text, re.MULTILINE)
        )

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            piece = self._in.read(65536)
            assert piece, "the browser ended"
            self._held += piece
        message, _, self._held = self._held.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def browser(*more: str) -> Iterator[Browser]:
    """Start one, with ``more`` flags."""
    found = shutil.which("chromium")
    assert found, "needs chromium (Debian package chromium)"
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser reads commands from descriptor 3 and writes to 4.
        process = subprocess.Popen(
            [
                "bash",
                "-c",
                f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}',
                found,
                *FLAGS,
                *more,
                f"--user-data-dir={profile}",
            ],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        tab = None
        try:
            tab = Browser(ours_in, ours_out)
            yield tab
        finally:
            process.terminate()
            process.wait(20)
            if tab is not None:
                tab._in.close()
                tab._out.close()


def accessible(tab: Browser, axe: str) -> int:
    """Check the open page by the rules of WCAG 2.2 AA and by good practice; gives how many it passes."""
    tab.evaluate(axe)  # by the debugger, which no policy binds
    found = tab.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
        ".then((found) => JSON.stringify([found.violations.map((each) => [each.id, each.nodes.map((node) =>"
        " node.html.slice(0, 200))]), found.passes.length]))",
        awaited=True,
    )
    violations, passed = json.loads(found)
    assert violations == [], violations
    return int(passed)
