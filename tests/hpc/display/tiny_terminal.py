"""A terminal as far as the display uses one: lines, the cursor, erasing, and colors to look at."""

import errno
import io
import re

_SEQUENCE = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[[\d;]*m|\x1b|\r|\n|[^\x1b\r\n]")


class TinyTerminal(io.StringIO):
    """Shows what was written to it, as a screen that scrolls."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        super().__init__()
        self.columns, self.lines = columns, lines
        self.screen = [""] * lines
        self.above: list[str] = []
        """The lines that have scrolled out at the top."""
        self.raw: list[str] = []
        """What was written, call by call."""
        self.is_gone = False
        self._row = self._column = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.is_gone:
            raise OSError(errno.EIO, "Input/output error")
        self.raw.append(text)
        for match in _SEQUENCE.finditer(text):
            self._take(match[0], match[1], match[2])
        return len(text)

    @property
    def shown(self) -> list[str]:
        """The lines on the screen, down to the last one with text."""
        lines = [line.rstrip() for line in self.screen]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def resize(self, columns: int, lines: int) -> None:
        """Change the size, and break longer lines anew, as terminals do."""
        broken = [
            line[start : start + columns]
            for line in self.screen[: self._row]
            for start in range(0, max(len(line), 1), columns)
        ]
        self.columns, self.lines = columns, lines
        self.above += broken[: max(0, len(broken) - lines + 1)]
        kept = broken[max(0, len(broken) - lines + 1) :]
        self.screen = [*kept, *[""] * (lines - len(kept))]
        self._row, self._column = len(kept), 0

    def _take(self, token: str, number: str | None, letter: str | None) -> None:
        if letter == "A":
            self._row = max(0, self._row - int(number or 1))
        elif letter == "J" and number == "2":
            self.screen = [""] * self.lines
        elif letter == "J":
            self.screen[self._row :] = [""] * (self.lines - self._row)
        elif letter == "K":
            self.screen[self._row] = ""
        elif letter == "H":
            self._row = self._column = 0
        elif token == "\r":
            self._column = 0
        elif token == "\n":
            self._new_line()
        elif not token.startswith("\x1b"):
            self._put(token)

    def _put(self, character: str) -> None:
        if self._column == self.columns:
            self._new_line()
        line = self.screen[self._row].ljust(self._column)
        self.screen[self._row] = line[: self._column] + character + line[self._column + 1 :]
        self._column += 1

    def _new_line(self) -> None:
        self._column = 0
        self._row += 1
        if self._row == self.lines:
            self.above.append(self.screen.pop(0))
            self.screen.append("")
            self._row -= 1
