"""What the log of a server that ended says: why, and what a person should see of it."""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline import out_of_memory
from pipeline.terminal import printable, read_tail

LINES, LONGEST_LINE = 15, 300

_PORT_TAKEN = re.compile(
    r"address already in use|EADDRINUSE|couldn't bind HTTP server socket", re.IGNORECASE
)
_TELLING = re.compile(r"error|exception|fatal|failed|cannot|unable|no such", re.IGNORECASE)
# The end of a Python traceback.
_RAISED = re.compile(r"[\w.]*(Error|Exception): ")
# vLLM's processes end one after the other, each with a traceback; the first one's says why.
_SAYS_ABOVE = re.compile(r"\broot cause\b", re.IGNORECASE)
_SAYS_NOTHING = re.compile(r"For further information visit")  # pydantic's
# vLLM's "(EngineCore pid=4711) ERROR 11-27 14:00:00 [core.py:123] ": not the same in two logs.
_PREFIX = re.compile(r"^(\([^()]*pid=\d+\)\s*)?([A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d (\[[^\]]*\])?\s*)?")
# Where posts begin in a request that an engine logs: as chat.request quotes them, or within JSON. A
# post is no word of the engine's, whatever it says, and belongs into no message.
_POSTS = re.compile(r'\\*"posts?\\*": .*')


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEnd:
    """The end of what a server wrote in one life. `telling` is the line that says most; '' where
    there is none. `lines` are the last ones."""

    telling: str = ""
    lines: tuple[str, ...] = ()
    out_of_memory: bool = False
    port_taken: bool = False


def read(path: Path, start: int) -> LogEnd:
    """Read what was written to `path` from byte `start` on, at most the last 64 KiB."""
    return of_text(read_tail(path, start) or "")


def of_text(text: str) -> LogEnd:
    lines = [line for line in map(str.rstrip, printable(text).split("\n")) if line]
    said = [_POSTS.sub("", _PREFIX.sub("", line)) for line in lines]
    memory = [line for line in said if out_of_memory.WORDS.search(line)]
    telling = memory[-1:] or _telling(said)
    return LogEnd(
        telling=telling[0].strip()[:LONGEST_LINE] if telling else "",
        lines=tuple(line[:LONGEST_LINE] for line in lines[-LINES:]),
        out_of_memory=bool(memory),
        port_taken=any(_PORT_TAKEN.search(line) for line in said),
    )


def _telling(said: list[str]) -> list[str]:
    last = said[-LINES:]
    if any(_SAYS_ABOVE.search(line) for line in last):
        raised = [line for line in said if _RAISED.match(line) and not _SAYS_ABOVE.search(line)]
        if raised:
            return raised[-1:]
    errors = [line for line in last if _TELLING.search(line) and not _SAYS_NOTHING.search(line)]
    return errors[-1:] or last[-1:]
