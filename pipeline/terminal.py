"""Make text that others wrote safe to show on a terminal, and read the end of a log.

Nothing that is shown may control the reader's terminal or imitate other output. File names, texts
of posts, server errors and Slurm's messages can all contain such characters. So everything that is
printed passes through a `CleanStream`. A log can be gigabytes long, and hold a progress bar
that is a single line, or half a character.
"""

import codecs
import io
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from pipeline import limits

TAIL_BYTES = 64 * 1024
LONGEST_LINE = 500

# Each part excludes the escape character, so that a search takes linear time.
ESCAPE_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colors, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # OSC and similar: titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
)
# Control characters but tab and newline, line separators, marks and overrides of the writing
# direction, characters that nobody sees, and halves of surrogate pairs, which cannot be encoded.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


# How to write in ASCII what the product's own words contain. A translation table.
_ASCII = str.maketrans(
    {
        "→": "->",
        "←": "<-",
        "±": "+/-",
        "…": "...",
        "×": "x",
        "–": "-",
        "—": "-",
        "−": "-",
        "·": ".",
        "≤": "<=",
        "≥": ">=",
        "≈": "~",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "\u00a0": " ",
        "\u202f": " ",
    }
)
_AS_ASCII = "hpc-ascii"


class CleanStream(io.TextIOBase):
    """A text stream that removes everything that can control a terminal."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text as `clean` returns it."""
        self.stream.write(clean(text))
        return len(text)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what is written."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Report whether a terminal shows what is written."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream below."""
        return self.stream.fileno()

    def writable(self) -> bool:
        """Report that this stream can be written to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream below."""
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """How the stream below writes what its encoding does not have."""
        return self.stream.errors

    @property
    def buffer(self) -> Any:
        """The bytes below, for programs that write no text."""
        return self.stream.buffer


def use_clean_streams() -> None:
    """Let everything that this process prints pass through a `CleanStream`.

    A character that the encoding of the terminal or of the log does not have is written as
    `in_ascii` writes it, or else as an escape sequence with its number. Output to a closed
    descriptor (`>&-`) is dropped.
    """
    codecs.register_error(_AS_ASCII, _replace_unencodable)
    sys.stdout, sys.stderr = _clean(sys.stdout), _clean(sys.stderr)


def _clean(stream: Any) -> Any:
    if isinstance(stream, CleanStream):
        return stream
    if stream is None:
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - until the end
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_AS_ASCII)
    return CleanStream(stream)


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Return what replaces characters that a stream cannot encode, and where they end."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = in_ascii(error.object[error.start : error.end])
    return text.encode("ascii", errors="backslashreplace").decode(), error.end


def in_ascii(text: str) -> str:
    """Return a text with arrows, dashes and similar signs in ASCII; all else stays."""
    return text.translate(_ASCII)


def flush_streams() -> OSError | None:
    """Flush stdout and stderr; return why one cannot be, and drop what it still holds.

    Python flushes them again when it ends, and would report the same error once more.
    """
    failure = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            failure = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return failure


def clean(text: str) -> str:
    """Return a text without escape sequences, control and invisible characters.

    A carriage return would let what follows overwrite what came before; it becomes a blank.
    """
    text = ESCAPE_SEQUENCES.sub("", text).replace("\r\n", "\n").replace("\r", " ")
    return UNSAFE.sub("", text)


def printable(text: str) -> str:
    """Return the text of a log as `clean` does.

    Of a line that overwrites itself, such as a progress bar, only its last state stays.
    """
    lines = (
        line.rstrip("\r").rpartition("\r")[2] for line in ESCAPE_SEQUENCES.sub("", text).split("\n")
    )
    return UNSAFE.sub("", "\n".join(lines))


def one_line(text: str, longest: int = LONGEST_LINE) -> str:
    """Return text as one printable line of at most `longest` characters, both ends of it."""
    return without_middle(" ".join(printable(text).split()), longest)


def last_lines(text: str, count: int) -> list[str]:
    """Return the last printable lines of a text, shortened; none of a text that is blank."""
    lines = printable(text).rstrip().split("\n")
    return [] if lines == [""] else [without_middle(line.rstrip()) for line in lines[-count:]]


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
        with os.fdopen(limits.open_regular(path), "rb") as stream:
            begin = max(start, stream.seek(0, 2) - TAIL_BYTES)
            stream.seek(begin)
            data = stream.read(TAIL_BYTES)
    except OSError:
        return None
    if begin > start:  # in the middle of a line, perhaps of a character
        data = data.partition(b"\n")[2] or data
    return data.decode(errors="replace")


def shorten_line(line: str, longest: int) -> str:
    """Return a line of at most `longest` characters, with an ellipsis where it was longer."""
    return line if len(line) <= longest else f"{line[:longest]}…"


def without_middle(line: str, longest: int = LONGEST_LINE) -> str:
    """Return a line of at most `longest` characters, with an ellipsis for what is left out.

    Both ends of an error are kept. It begins with what failed and ends with the reason, and a path
    of any length stands between the two.
    """
    if len(line) <= longest:
        return line
    begin = longest // 2
    return f"{line[:begin]}…{line[len(line) - (longest - begin - 1) :]}"
