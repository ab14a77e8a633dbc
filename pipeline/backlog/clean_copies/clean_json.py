"""Write a copy of JSON text in which every byte is text, with marks where some were not.

JSON allows no lone surrogates and no raw control characters in its strings.
"""

import re
from typing import IO

from pipeline.backlog.clean_copies.marks import MARK

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f]")
# Each match is a whole escape, so that `\\ud83d` (a backslash and letters) is left alone.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|.)",
    re.DOTALL,
)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def copy_json(source: IO[str], target: IO[str]) -> None:
    """Copy JSON text line by line, with marks for characters that JSON does not allow.

    Args:
        source: the text, whose undecodable bytes have marks already; its line ends are kept.
        target: where the copy goes.
    """
    for line in source:
        target.write(clean_line(line))


def clean_line(line: str) -> str:
    """Return a line of JSON with marks for lone surrogates and control characters in strings."""
    content = line.rstrip("\r\n")
    if _CONTROL.search(content):
        content = _STRING.sub(lambda match: _CONTROL.sub(MARK, match[0]), content)
    if _SURROGATE.search(content):
        content = _ESCAPE.sub(lambda match: MARK if match["lone"] else match[0], content)
    return content + line[len(line.rstrip("\r\n")) :]
