"""Break lines for a terminal so that whoever copies a command gets all of it."""

import re
import textwrap

# A command at the end of a message.
_COMMAND = re.compile(r"(?:\bnext: |^|(?<=: ))hpc [a-z].*$")


def wrap_line(line: str, width: int) -> str:
    """Return a line that is broken between words, with a command at its end in one piece.

    The terminal itself continues a command that is wider, without a line break in what is copied.
    """
    if len(line) <= width or width < 1:
        return line
    found = _COMMAND.search(line)
    text, command = (line[: found.start()], found[0]) if found else (line, "")
    indent = " " * (len(text) - len(text.lstrip()))
    lines = textwrap.wrap(
        text,
        width,
        break_long_words=False,
        break_on_hyphens=False,
        subsequent_indent=indent if len(indent) < width // 2 else "",
    )
    if not command:
        return "\n".join(lines)
    last = f"{lines[-1]} {command}" if lines else command
    if len(last) <= width:
        return "\n".join([*lines[:-1], last])
    return "\n".join([*lines, command])


def ends_with_command(line: str) -> bool:
    """Tell whether a line ends with a command."""
    return bool(_COMMAND.search(line))
