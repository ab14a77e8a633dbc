"""Make text that others wrote safe to show on a terminal, and read the end of a log.

A log can be gigabytes long. It can hold a progress bar that is a single line, half a character, or
text of posts with escape sequences in it. Nothing that is shown may control the reader's terminal.
"""

import re
from pathlib import Path

TAIL_BYTES = 64 * 1024
LONGEST_LINE = 500

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colors, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\)"  # OSC and similar: titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
)
# Control characters but tab and newline, line separators, overrides of the writing direction, and
# halves of surrogate pairs, which cannot be encoded.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return text without escape sequences, control characters and overrides of its direction.

    Of a line that overwrites itself, such as a progress bar, only its last state stays.
    """
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in _ESCAPES.sub("", text).split("\n"))
    return _CONTROLS.sub("", "\n".join(lines))


def one_line(text: str, longest: int = LONGEST_LINE) -> str:
    """Return text as one printable line of at most `longest` characters and an ellipsis."""
    return shortened(" ".join(printable(text).split()), longest)


def last_lines(text: str, count: int) -> list[str]:
    """Return the last printable lines of a text, shortened; none of a text that is blank."""
    lines = printable(text).rstrip().split("\n")
    return [] if lines == [""] else [shortened(line.rstrip()) for line in lines[-count:]]


def last_lines_of_file(path: Path, count: int) -> list[str] | None:
    """Return the last lines of a file, or None where it cannot be read."""
    text = read_tail(path)
    return None if text is None else last_lines(text, count)


def read_tail(path: Path, start: int = 0) -> str | None:
    """Return what a file holds from byte `start` on, at most its last 64 KiB.

    A line that is cut at its beginning is left out, unless it is the only one. Return None where
    the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            begin = max(start, stream.seek(0, 2) - TAIL_BYTES)
            stream.seek(begin)
            data = stream.read(TAIL_BYTES)
    except OSError:
        return None
    if begin > start:  # in the middle of a line, perhaps of a character
        data = data.partition(b"\n")[2] or data
    return data.decode(errors="replace")


def shortened(line: str, longest: int = LONGEST_LINE) -> str:
    """Return a line of at most `longest` characters, with an ellipsis where it was longer."""
    return line if len(line) <= longest else f"{line[:longest]}…"
