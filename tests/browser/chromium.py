"""A real Chromium, driven over a pipe by the DevTools protocol.

Nothing has to be installed beside the browser, and no port is opened.
"""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
from collections import deque
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_HIGH = 50
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
Message = dict[str, Any]


def find_browser() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Chromium:
    """A browser with one page."""

    def __init__(self, program: str, folder: Path) -> None:
        command, self._in = _high_pipe()
        self._out, answer = _high_pipe()
        redirected = f'exec "$@" 3<&{command} 4>&{answer}'
        self._process = subprocess.Popen(
            ["bash", "-c", redirected, "bash", program, f"--user-data-dir={folder}", *_OPTIONS,
             "about:blank"],
            pass_fds=(command, answer), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
        os.close(command)
        os.close(answer)
        self._unread = b""
        self._numbers = itertools.count(1)
        self._events: deque[Message] = deque()
        self._session = ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, *, width: int = 1280, height: int = 900, scheme: str = "light",
             media: str = "") -> list[Message]:  # fmt: skip
        """Open a page; return what the browser reported meanwhile."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                   deviceScaleFactor=1, mobile=False)  # fmt: skip
        self._call("Emulation.setEmulatedMedia", media=media,
                   features=[{"name": "prefers-color-scheme", "value": scheme}])  # fmt: skip
        self._events.clear()
        self._call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._read())
        self.evaluate("0")  # what the page caused has been reported by then
        return list(self._events)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, *, whole: bool = True) -> bytes:
        """Return a picture of the page as PNG."""
        answer = self._call("Page.captureScreenshot", captureBeyondViewport=whole, format="png",
                            **({"clip": self._whole()} if whole else {}))  # fmt: skip
        return base64.b64decode(answer["data"])

    def _whole(self) -> Message:
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}

    def close(self) -> None:
        """End the browser, and wait until it no longer writes to its folder."""
        os.write(self._in, b'{"id": 0, "method": "Browser.close"}\0')
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def _call(self, method: str, **parameters: Any) -> Message:
        number = next(self._numbers)
        message: Message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            self._events.append(answer)
        assert "error" not in answer, answer
        result: Message = answer["result"]
        return result

    def _read(self) -> Message:
        while b"\0" not in self._unread:
            content = os.read(self._out, 1 << 16)
            assert content, "the browser has ended"
            self._unread += content
        one, _, self._unread = self._unread.partition(b"\0")
        message: Message = json.loads(one)
        return message


def _high_pipe() -> tuple[int, int]:
    """A pipe whose numbers are not 3 and 4, which the browser uses."""
    ends = os.pipe()
    high = (
        fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, _HIGH),
        fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, _HIGH),
    )
    for end in ends:
        os.close(end)
    return high
