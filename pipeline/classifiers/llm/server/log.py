"""Explain from a server's log why the server ended, and choose the lines to show a person."""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.system import out_of_memory
from pipeline.terminal import printable, read_tail

LINES, LONGEST_LINE = 15, 300

_PORT_TAKEN = re.compile(
    r"address already in use|EADDRINUSE|couldn't bind HTTP server socket", re.IGNORECASE
)
_ERROR = re.compile(r"error|exception|fatal|failed|cannot|unable|no such", re.IGNORECASE)
# The end of a Python traceback.
_RAISED = re.compile(r"[\w.]*(Error|Exception): ")
# vLLM's processes end one after the other, each with a traceback. Only the first names the cause.
_POINTS_ABOVE = re.compile(r"\broot cause\b", re.IGNORECASE)
_UNINFORMATIVE = re.compile(r"For further information visit")  # pydantic
# vLLM's "(EngineCore pid=4711) ERROR 11-27 14:00:00 [core.py:123] ", which differs in every log.
_PREFIX = re.compile(r"^(\([^()]*pid=\d+\)\s*)?([A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d (\[[^\]]*\])?\s*)?")
# Where the posts begin in a request that the server logs: as `chat.request` quotes them, or within
# JSON. Whatever a post says is not the server's own error, and must not appear in a message.
_POSTS = re.compile(r'\\*"posts?\\*": .*')


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEnd:
    """What the end of a server's log says, from one start to its end."""

    error_line: str = ""
    """The line that names the cause; without one, the last line; '' for an empty log."""

    lines: tuple[str, ...] = ()
    """The last lines."""

    out_of_memory: bool = False
    """Whether the server says that it has too little GPU memory."""

    port_taken: bool = False
    """Whether the server says that another process has its port."""


def read_log_end(path: Path, start: int) -> LogEnd:
    """Read what was written to `path` from byte `start` on, at most the last 64 KiB."""
    return parse_log_end(read_tail(path, start) or "")


def parse_log_end(text: str) -> LogEnd:
    """Return what the end of a log says."""
    lines = [line for line in map(str.rstrip, printable(text).split("\n")) if line]
    own = [_POSTS.sub("", _PREFIX.sub("", line)) for line in lines]
    memory_lines = [line for line in own if out_of_memory.WORDS.search(line)]
    error_line = memory_lines[-1] if memory_lines else _error_line(own)
    return LogEnd(
        error_line=(error_line or "").strip()[:LONGEST_LINE],
        lines=tuple(line[:LONGEST_LINE] for line in lines[-LINES:]),
        out_of_memory=bool(memory_lines),
        port_taken=any(_PORT_TAKEN.search(line) for line in own),
    )


def _error_line(lines: list[str]) -> str | None:
    """Return the line that names the cause, or else the last line; None if there is no line."""
    last = lines[-LINES:]
    if any(_POINTS_ABOVE.search(line) for line in last):
        raised = [line for line in lines if _RAISED.match(line) and not _POINTS_ABOVE.search(line)]
        if raised:
            return raised[-1]
    errors = [line for line in last if _ERROR.search(line) and not _UNINFORMATIVE.search(line)]
    return next(reversed(errors or last), None)
