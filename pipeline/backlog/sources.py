"""Finding a backlog's files and what they are, by content where a name says too little."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.config.sections import Backlog
from pipeline.errors import InputError
from pipeline.text import did_you_mean


class Kind(StrEnum):
    SQLITE = "SQLite"
    DUCKDB = "DuckDB"
    PARQUET = "Parquet"
    CSV = "CSV"
    JSON_LINES = "JSON Lines"


DATABASES = (Kind.SQLITE, Kind.DUCKDB)

_BY_SUFFIX = {
    ".parquet": Kind.PARQUET,
    ".csv": Kind.CSV,
    ".tsv": Kind.CSV,
    ".jsonl": Kind.JSON_LINES,
    ".ndjson": Kind.JSON_LINES,
    ".json": Kind.JSON_LINES,
}
_DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3", ".duckdb")
_COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The files of a backlog, all of one kind, in the order of their names."""

    kind: Kind
    files: tuple[Path, ...]
    backlog: Backlog

    def __str__(self) -> str:
        if len(self.files) == 1:
            return str(self.files[0])
        return f"{self.backlog.source} ({len(self.files)} files)"


def find(backlog: Backlog, folders: tuple[Path, ...]) -> Source:
    """Resolves `backlog.source` (a file, a folder or a glob) from each of `folders` in turn.

    Raises InputError where nothing is there, where kinds are mixed, or where a kind is unknown.
    """
    name = Path(backlog.source).expanduser()
    for folder in folders:
        files = _files(folder, name)
        if files:
            break
    else:
        tried = " or ".join(dict.fromkeys(str(folder / name) for folder in folders))
        raise InputError(f"backlog.source: there is nothing at {tried}")
    kinds = {path: _kind(path) for path in files}
    if len(set(kinds.values())) > 1:
        first, *rest = kinds.items()
        other = next(item for item in rest if item[1] is not first[1])
        raise InputError(
            f"backlog.source: {backlog.source} mixes kinds: {first[0]} is {first[1]}, "
            f"{other[0]} is {other[1]}; name one kind with a glob such as {name}/*.parquet"
        )
    return Source(kind=kinds[files[0]], files=files, backlog=backlog)


def _files(folder: Path, name: Path) -> tuple[Path, ...]:
    path = folder / name
    if path.is_file():
        return (path,)
    if path.is_dir():
        inside = list(_walk(path))
        posts = _sorted_files(found for found in inside if _suffix(found) in _BY_SUFFIX)
        return posts or _sorted_files(f for f in inside if _suffix(f) in _DATABASE_SUFFIXES)
    # Path.glob passes linked folders by before Python 3.13, and their posts would go unnoticed.
    globbed = glob.iglob(str(name), root_dir=folder, recursive=True)  # noqa: PTH207
    return _sorted_files(folder / found for found in globbed if _is_visible(Path(found).name))


def _walk(folder: Path) -> Iterator[Path]:
    """All files below, through links too, each folder once: links may go round in circles."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(filter(_is_visible, folders))
        real = Path(root).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(root, name) for name in filter(_is_visible, names))


def _is_visible(name: str) -> bool:
    """Not a notebook's `.ipynb_checkpoints/`, Spark's `_temporary/`, or a file like them."""
    return not name.startswith((".", "_"))


def _sorted_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Each file once, however many links lead to it."""
    files = {path.resolve(): path for path in sorted(paths, reverse=True) if path.is_file()}
    return tuple(sorted(files.values()))


def _suffix(path: Path) -> str:
    suffix = Path(path.stem).suffix if path.suffix in _COMPRESSED else path.suffix
    return suffix.lower()


def _kind(path: Path) -> Kind:
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise InputError(f"backlog.source: {path} cannot be read: {error.strerror}") from None
    if head.startswith(b"SQLite format 3\0"):
        return Kind.SQLITE
    if head[8:12] == b"DUCK":
        return Kind.DUCKDB
    if head.startswith(b"PAR1"):
        return Kind.PARQUET
    kind = _BY_SUFFIX.get(_suffix(path))
    if kind is None or kind is Kind.PARQUET:
        raise InputError(
            f"backlog.source: {path} is not a SQLite, DuckDB or Parquet file, and its name does "
            "not end in .csv, .tsv, .jsonl, .ndjson or .json"
        )
    return kind


def chosen_table(source: Source, path: Path, tables: tuple[str, ...]) -> str:
    """The configured table, or the only one there is."""
    wanted = source.backlog.table
    if wanted in tables:
        return str(wanted)
    if wanted is None and len(tables) == 1:
        return tables[0]
    has = f"it has {', '.join(sorted(tables))}" if tables else "it has no table"
    problem = f"has no table {wanted!r}; {has}" if wanted else f"needs a table's name; {has}"
    raise InputError(f"backlog.table: {path} {problem}")


def missing_column(where_from: str, name: str, columns: tuple[str, ...]) -> InputError:
    near = did_you_mean(name, columns)
    return InputError(
        f"backlog.columns: {where_from} has no column {name!r}{near}; it has {', '.join(columns)}"
    )
