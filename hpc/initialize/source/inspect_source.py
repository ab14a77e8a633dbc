"""Look into the files of a source: which tables, columns and about how many rows they have."""

from collections.abc import Sequence
from pathlib import Path

from hpc.initialize.source.facts import SourceFacts, TableFacts
from hpc.initialize.source.inspect_duckdb import inspect_duckdb, inspect_parquet
from hpc.initialize.source.inspect_text import inspect_text
from pipeline.backlog.databases.import_driver import import_with_driver
from pipeline.backlog.file_formats import SourceFile, SourceKind
from pipeline.errors import InputError, RunError


def inspect_files(source: str, files: Sequence[SourceFile]) -> SourceFacts:
    """Return what the files of a source hold, as far as they can be read now.

    Args:
        source: what the configuration calls them.
        files: the files, one or more.
    """
    problem = ""
    tables: tuple[TableFacts, ...] = ()
    try:
        tables = _tables(files)
    except (InputError, RunError) as error:
        problem = str(error)
    kinds = {file.kind for file in files}
    return SourceFacts(
        source=source,
        kinds=tuple(kind for kind in SourceKind if kind in kinds),
        files=len(files),
        bytes=sum(_size(file.path) for file in files),
        tables=tables,
        problem=problem,
    )


def _tables(files: Sequence[SourceFile]) -> tuple[TableFacts, ...]:
    first = files[0]
    match first.kind:
        case SourceKind.SQLITE:
            module = import_with_driver("hpc.initialize.source.inspect_sqlite")
            tables: tuple[TableFacts, ...] = module.inspect_sqlite(first.path)
            return tables
        case SourceKind.DUCKDB:
            return inspect_duckdb(first.path)
        case SourceKind.PARQUET:
            table = inspect_parquet([file for file in files if file.kind is first.kind])
        case SourceKind.CSV | SourceKind.JSON_LINES:
            table = inspect_text([file for file in files if file.kind is first.kind])
    return (table,)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it was removed just now
        return 0
