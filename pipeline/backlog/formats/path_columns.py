"""Read the columns that hive-like folder names state, such as `day=2024-05-31`.

They serve `backlog.where` only. What a file holds is never replaced by its path.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import msgspec

from pipeline.errors import InputError
from pipeline.sql import literal

_NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(_DAY.pattern + "[ T][0-9]{2}:[0-9]{2}:[0-9]{2}")


class PathColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A key of folder names, as a column."""

    name: str
    """The key, in the case of the first folder that has it."""
    sql_type: str
    """BIGINT, DATE or TIMESTAMP if every folder's value is one, else VARCHAR."""

    def sql(self, path: str) -> str:
        """Return SQL for the value in a path, from SQL that yields the path; NULL if it has none.

        The folder that is nearest to the file counts.
        """
        pattern = f"^(?:.*/)?(?i:{re.escape(self.name)})=([^/=]*)/"
        value = f"regexp_extract({path}, {literal(pattern)}, 1)"
        text = f"url_decode(nullif(nullif({value}, ''), {literal(_NULL)}))"
        return f"CAST({text} AS {self.sql_type})"


def folder_keys(path: Path) -> dict[str, str]:
    """Return the keys and values of the folders above a file."""
    pairs = (part.partition("=") for part in path.parts[:-1] if part.count("=") == 1)
    return {key: value for key, _, value in pairs if key}


def path_columns(paths: Sequence[Path]) -> dict[str, PathColumn]:
    """Return the columns that the folders of these files state, by their case-folded names."""
    names: dict[str, str] = {}
    values: dict[str, set[str]] = {}
    for folder in dict.fromkeys(path.parent for path in paths):
        for key, value in folder_keys(folder / "file").items():
            names.setdefault(key.casefold(), key)
            values.setdefault(key.casefold(), set()).add(value)
    return {
        folded: PathColumn(name=name, sql_type=_sql_type(values[folded] - {_NULL, ""}))
        for folded, name in names.items()
    }


def reject_clash(paths: Iterable[Path], used: Collection[str]) -> None:
    """Raise InputError if a folder above a file has a key like a column of it that is used.

    Args:
        paths: files that have these columns.
        used: columns that the configuration names.
    """
    folded = {name.casefold(): name for name in used}
    for path in paths:
        for key, value in folder_keys(path).items():
            if key.casefold() in folded:
                raise InputError(
                    f"backlog.source: {path} has a column {folded[key.casefold()]!r}, and a folder "
                    f"above it is called {key}={value}: it is unclear which of the two is meant; "
                    "rename the folder"
                )


def _sql_type(values: Collection[str]) -> str:
    decoded = [unquote(value) for value in values]
    if decoded and all(map(_INTEGER.fullmatch, decoded)):
        return "BIGINT"
    for sql_type, pattern in (("DATE", _DAY), ("TIMESTAMP", _TIME)):
        if decoded and all(pattern.fullmatch(value) and _is_time(value) for value in decoded):
            return sql_type
    return "VARCHAR"


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
