"""Names, texts and conditions as SQL."""

from collections.abc import Sequence


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def where_all(conditions: Sequence[str]) -> str:
    """A WHERE clause of all of them; a person's own may end in a comment, so each has its line."""
    return " WHERE " + " AND ".join(f"({one}\n)" for one in conditions) if conditions else ""
