"""Write help and errors of the command line within the width of the terminal that shows them."""

import argparse
import os
import re
import shutil
import sys
from typing import Any, NoReturn, TextIO

from hpc.display.terminal.wrapping import wrap_line
from hpc.run.exit_codes import WRONG

# As argparse leaves free at the right.
_MARGIN = 2
_NARROWEST = 40
_USAGE = "usage: "
_PART = re.compile(r"\[[^\]]*\]|\S+")


def complain(message: str) -> None:
    """Print a message on stderr; on a terminal, break it between words.

    For what is said before a verb's modules are loaded, and with them what prints its messages.
    """
    stream = sys.stderr
    width = terminal_width(stream) if stream.isatty() else 0
    print(wrap_line(message, width), file=stream)


def terminal_width(stream: TextIO) -> int:
    """Return the width of the terminal that shows a stream, in characters.

    Elsewhere, it is what COLUMNS says, or 80. COLUMNS may be that of another terminal.
    """
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # no terminal, or no file at all
        columns = 0
    return columns or shutil.get_terminal_size().columns


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions, and adds some where the terminal would add them."""

    def __init__(self, prog: str) -> None:
        """Look how wide the terminal is."""
        super().__init__(prog, width=max(terminal_width(sys.stdout) - _MARGIN, _NARROWEST))

    def _format_usage(self, usage: str | None, *others: Any) -> str:
        """Break a usage that a verb writes itself too, between its parts."""
        if usage is None:
            return super()._format_usage(usage, *others)
        parts = _PART.findall(usage)
        indent = " " * (len(_USAGE) + len(" ".join(parts[:2])) + 1)
        lines = [_USAGE + " ".join(parts[:2])]
        for part in parts[2:]:
            if len(lines[-1]) + 1 + len(part) <= self._width:
                lines[-1] += f" {part}"
            else:
                lines.append(indent + part)
        return "\n".join(lines) + "\n\n"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # A command stays in one piece, so that whoever copies it gets all of it.
        lines = (line if line.lstrip().startswith("hpc ") else wrap_line(line, width)
                 for line in text.splitlines())  # fmt: skip
        return "\n".join(f"{indent}{line}" for line in "\n".join(lines).splitlines())


class Parser(argparse.ArgumentParser):
    """A parser whose errors have their line breaks between words."""

    def error(self, message: str) -> NoReturn:
        """Say how the command is used and what is wrong, and exit."""
        self.print_usage(sys.stderr)
        complain(f"{self.prog}: error: {message}")
        self.exit(WRONG)
