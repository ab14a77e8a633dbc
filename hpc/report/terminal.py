"""The end of a log, fit for a terminal, which nothing that a task wrote may steer.

A log can be gigabytes, hold a progress bar of one line, half a character, or posts' own text with
escape sequences in it.
"""

import re
from pathlib import Path

BYTES = 64 * 1024
LONGEST_LINE = 500

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\)"  # OSC and the like: titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
)
_OVERRIDES = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_CONTROLS = dict.fromkeys(
    [*(set(range(0x20)) - {ord("\t"), ord("\n")}), *range(0x7F, 0xA0), *map(ord, _OVERRIDES)]
)


def printable(text: str) -> str:
    """Without escape sequences, control characters and overrides of the writing's direction; of a
    line written over again and again (a progress bar) what it showed last."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in _ESCAPES.sub("", text).split("\n"))
    return "\n".join(lines).translate(_CONTROLS)


def one_line(text: str) -> str:
    return _cut(" ".join(printable(text).split()))


def last_lines(text: str, count: int) -> list[str]:
    """The last lines of a text, clean, long ones cut; none of a text that is blank."""
    lines = printable(text).rstrip().split("\n")
    return [] if lines == [""] else [_cut(line.rstrip()) for line in lines[-count:]]


def last_lines_of_file(path: Path, count: int) -> list[str] | None:
    """The last lines of a file, of which no more than the last 64 KiB are read; None: it is not
    there, or may not be read."""
    try:
        with path.open("rb") as stream:
            start = max(0, stream.seek(0, 2) - BYTES)
            stream.seek(start)
            data = stream.read(BYTES)
    except OSError:
        return None
    if start:  # in the middle of a line, perhaps of a character
        whole = data.partition(b"\n")[2]
        data = whole or data
    return last_lines(data.decode(errors="replace"), count)


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"
