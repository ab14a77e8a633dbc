"""Draw lines at the bottom of a terminal again and again, below what is printed for good.

The cursor is never hidden and no mode of the terminal is changed. So whatever ends the process, a
clean terminal stays behind.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console

from hpc.display.terminal.render import measure

Draw = Callable[[Console, int], list[str]]
"""Returns the lines to show now, given the console and how many lines there is room for."""

# How long a drawing thread that ends may take, in seconds.
_JOIN_S = 1.0
# After this many seconds without a drawing, the process was stopped, and a shell has written below.
_STOPPED_S = 8.0
_UP, _BELOW, _LINE, _ALL = "\x1b[{}A\r", "\x1b[J", "\x1b[2K", "\x1b[2J\x1b[H"
# The terminal is gone: its window was closed, or the connection to it was lost.
_GONE = frozenset({errno.EIO, errno.EPIPE, errno.EBADF, errno.ENXIO, errno.ENOTTY})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    """Some of the lines."""

    draw: Draw
    pause_s: float


class Area:
    """The lines that are drawn again. A thread draws them, while there are any."""

    def __init__(self, stream: TextIO, console: Console) -> None:
        """Draw nothing yet.

        Args:
            stream: the terminal.
            console: a console that renders what it can show.
        """
        self._stream = stream
        self._console = console
        self._lock = threading.RLock()
        self._layers: list[_Layer] = []
        self._drawn: list[str] = []
        self._width = 0
        self._drawn_at = 0.0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_gone = False
        """Whether nobody can see the terminal any more."""

    @contextmanager
    def showing(self, draw: Draw, *, pause_s: float, stays: bool = False) -> Iterator[None]:
        """Show the lines of `draw` below those of others, until the block ends.

        Args:
            draw: returns the lines.
            pause_s: between two drawings.
            stays: whether the lines stay on the terminal if an error or Ctrl-C ends the block.
        """
        layer = _Layer(draw=draw, pause_s=pause_s)
        with self._lock:
            self._layers.append(layer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="display", daemon=True)
                self._thread.start()
        self.wake()
        try:
            yield
        except BaseException:
            self._end(layer, keeps_lines=stays)
            raise
        self._end(layer, keeps_lines=False)

    def wake(self) -> None:
        """Draw soon, because there is something new to show."""
        self._wake.set()

    def print_above(self, write: Callable[[], None]) -> None:
        """Let `write` print something for good, above the lines that are drawn again."""
        with self._lock:
            if not self._drawn:
                write()
                return
            self._erase()
            write()
            self._draw()

    def _end(self, layer: _Layer, *, keeps_lines: bool) -> None:
        with self._lock:
            if keeps_lines:
                self._draw()
                self._drawn = []
            self._layers.remove(layer)
            if self._layers:
                self._draw()
                return
            thread, self._thread = self._thread, None
            self._erase()
        self.wake()
        if thread:
            thread.join(_JOIN_S)  # a terminal that is stopped by Ctrl-S must not hold us up

    def _run(self) -> None:
        while True:
            with self._lock:
                if threading.current_thread() is not self._thread:
                    return
                self._draw()
                pause_s = min(layer.pause_s for layer in self._layers)
            self._wake.wait(pause_s)
            self._wake.clear()

    def _draw(self) -> None:
        if self.is_gone or not self._is_in_foreground():
            return
        now = time.monotonic()
        if now - self._drawn_at > _STOPPED_S:
            self._drawn = []
        self._drawn_at = now
        measure(self._console, self._stream)
        size = self._console.size
        room, lines = max(1, size.height - 1), list[str]()
        for layer in self._layers:
            lines += layer.draw(self._console, room - len(lines))
        if self._drawn and size.width != self._width:
            # The terminal has broken the lines anew, and nobody knows where they begin.
            self._write(_ALL)
            self._drawn = []
        self._width = size.width
        if lines == self._drawn:
            return
        parts = [_UP.format(len(self._drawn))] if self._drawn else []
        for number, line in enumerate(lines):
            is_same = number < len(self._drawn) and self._drawn[number] == line
            parts.append("\n" if is_same else f"{_LINE}{line}\n")
        self._write("".join([*parts, _BELOW]))
        self._drawn = lines

    def _erase(self) -> None:
        if self._drawn and self._is_in_foreground():
            self._write(_UP.format(len(self._drawn)) + _BELOW)
        self._drawn = []

    def _write(self, text: str) -> None:
        if self.is_gone:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            self.is_gone = error.errno in _GONE
        except ValueError:  # the stream is closed
            self.is_gone = True

    def _is_in_foreground(self) -> bool:
        """Tell whether the terminal is this process's to draw on: `hpc supervise &` only prints."""
        with contextlib.suppress(OSError, ValueError):
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        return True
