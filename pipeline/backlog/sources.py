"""Find a backlog's files and tell what kind they are, by content if the name says too little."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.config.sections import Backlog
from pipeline.errors import InputError


class SourceKind(StrEnum):
    """The kinds of file that a backlog can be."""

    SQLITE = "SQLite"
    DUCKDB = "DuckDB"
    PARQUET = "Parquet"
    CSV = "CSV"
    JSON_LINES = "JSON Lines"


DATABASES = (SourceKind.SQLITE, SourceKind.DUCKDB)

_BY_SUFFIX = {
    ".parquet": SourceKind.PARQUET,
    ".csv": SourceKind.CSV,
    ".tsv": SourceKind.CSV,
    ".jsonl": SourceKind.JSON_LINES,
    ".ndjson": SourceKind.JSON_LINES,
    ".json": SourceKind.JSON_LINES,
}
_DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3", ".duckdb")
_COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The files of a backlog, all of one kind, sorted by name."""

    kind: SourceKind
    files: tuple[Path, ...]
    backlog: Backlog

    def __str__(self) -> str:
        if len(self.files) == 1:
            return str(self.files[0])
        return f"{self.backlog.source} ({len(self.files)} files)"


def find_source(backlog: Backlog, folders: tuple[Path, ...]) -> Source:
    """Return the files that `backlog.source` names, looked for in each of `folders` in turn.

    Args:
        backlog: its `source` is a file, a folder or a glob.
        folders: the folders that a relative path may start from.

    Raises:
        InputError: nothing is there, the files are of several kinds, or a kind is unknown.
    """
    name = Path(backlog.source).expanduser()
    for folder in folders:
        files = _files(folder, name)
        if files:
            break
    else:
        tried = " or ".join(dict.fromkeys(str(folder / name) for folder in folders))
        raise InputError(f"backlog.source: there is no file at {tried}")
    kinds = {path: _kind(path) for path in files}
    if len(set(kinds.values())) > 1:
        first, *rest = kinds.items()
        other = next(item for item in rest if item[1] is not first[1])
        raise InputError(
            f"backlog.source: {backlog.source} holds files of several kinds: {first[0]} is "
            f"{first[1]}, {other[0]} is {other[1]}; choose one kind with a glob such as "
            f"{name}/*.parquet"
        )
    return Source(kind=kinds[files[0]], files=files, backlog=backlog)


def _files(folder: Path, name: Path) -> tuple[Path, ...]:
    path = folder / name
    if path.is_file():
        return (path,)
    if path.is_dir():
        inside = list(_walk(path))
        posts = _sorted_files(file for file in inside if _suffix(file) in _BY_SUFFIX)
        return posts or _sorted_files(
            file for file in inside if _suffix(file) in _DATABASE_SUFFIXES
        )
    # Path.glob does not enter linked folders before Python 3.13: their posts would be missed.
    globbed = glob.iglob(str(name), root_dir=folder, recursive=True)  # noqa: PTH207
    return _sorted_files(folder / match for match in globbed if _is_visible(Path(match).name))


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all files below, also through links; each folder once, as links may form a circle."""
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
    """Return False for names such as `.ipynb_checkpoints` or Spark's `_temporary`."""
    return not name.startswith((".", "_"))


def _sorted_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return each file once, however many links lead to it."""
    files = {path.resolve(): path for path in sorted(paths, reverse=True) if path.is_file()}
    return tuple(sorted(files.values()))


def _suffix(path: Path) -> str:
    suffix = Path(path.stem).suffix if path.suffix in _COMPRESSED else path.suffix
    return suffix.lower()


def _kind(path: Path) -> SourceKind:
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise InputError(f"backlog.source: {path} cannot be read: {error.strerror}") from None
    if head.startswith(b"SQLite format 3\0"):
        return SourceKind.SQLITE
    if head[8:12] == b"DUCK":
        return SourceKind.DUCKDB
    if head.startswith(b"PAR1"):
        return SourceKind.PARQUET
    kind = _BY_SUFFIX.get(_suffix(path))
    if kind is None or kind is SourceKind.PARQUET:
        raise InputError(
            f"backlog.source: {path} is not a SQLite, DuckDB or Parquet file, and its name does "
            "not end in .csv, .tsv, .jsonl, .ndjson or .json"
        )
    return kind
