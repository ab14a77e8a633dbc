"""Names, texts and conditions as SQL."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def file_list(paths: Iterable[Path]) -> str:
    """A SQL list of these very files: DuckDB takes posts[1].csv for a glob, for posts1.csv."""
    exact = (re.sub(r"[*?[]", r"[\g<0>]", str(path)) for path in paths)
    return f"[{', '.join(map(literal, exact))}]"


def where_all(conditions: Sequence[str]) -> str:
    """A WHERE clause of all of them; a person's own may end in a comment, so each has its line."""
    return " WHERE " + " AND ".join(f"({one}\n)" for one in conditions) if conditions else ""
