"""Replace a database by a rebuilt one, without losing labels that only the old one has."""

import glob
import os
import re
import shutil
import uuid
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline import files
from pipeline.database import duckdb_file, history, sample_rows
from pipeline.database.duckdb_file import UnusableDatabaseError, log_of
from pipeline.database.stores import label_files, layouts, parts
from pipeline.errors import RunError
from pipeline.text import counted

_FRESH = ".rebuilding-"


@dataclass(frozen=True, kw_only=True, slots=True)
class OldDatabase:
    """What a database holds that is to be replaced."""

    rows_by_run: dict[str, int]
    """Rows of labels, by the run that they come from."""
    shards: frozenset[tuple[str, int]]
    """Run id and shard index of every gathered shard."""
    samples: frozenset[str] = frozenset()


def read_old(path: Path) -> OldDatabase | str | None:
    """Return what a database holds, why that cannot be known, or None where there is no database.

    Raises:
        BusyError: another process has it open; it may be gathering.
        RunError: it is a database of another program.
        OSError, UnreadableError: it cannot be read now, which does not mean that it is damaged.
    """
    if not path.exists() and not log_of(path).exists():
        return None
    try:
        # For writing, so that nobody gathers meanwhile.
        with duckdb_file.open_database(path) as connection:
            return OldDatabase(
                rows_by_run=history.rows_by_run(connection),
                shards=frozenset(history.all_gathered_shards(connection)),
                samples=frozenset(sample_rows.names(connection)),
            )
    except (UnusableDatabaseError, duckdb.Error) as error:
        if isinstance(error, duckdb.OutOfMemoryException):
            raise
        for file in (path, log_of(path)):
            if file.exists():
                files.sha256_of(file)  # raises OSError if the trouble is the reader's
        return str(error).partition("\n")[0]


def refuse_to_lose_runs(path: Path, old: OldDatabase, missing: dict[str, str]) -> None:
    """Raise RunError if the old database has rows of runs that cannot be gathered again.

    Args:
        path: the database.
        old: what it holds.
        missing: by id, why a run that it may have cannot be gathered.
    """
    lost = [
        f"{run_id} ({counted(old.rows_by_run[run_id], 'row')}): {why}"
        for run_id, why in sorted(missing.items())
        if run_id in old.rows_by_run
    ]
    if lost:
        raise RunError(
            f"{path} has rows of runs that cannot be gathered again, and a rebuild would lose "
            "them:\n" + "\n".join(lost)
        )


def refuse_to_lose_shards(path: Path, old: OldDatabase, fresh: Path) -> None:
    """Raise RunError if the old database has shards that the fresh one does not have."""
    with duckdb_file.open_database(fresh) as connection:
        lost = old.shards - history.all_gathered_shards(connection)
    if lost:
        shards = Counter(run_id for run_id, _ in lost)
        listed = ", ".join(
            f"{run_id} ({counted(count, 'shard')})" for run_id, count in sorted(shards.items())
        )
        raise RunError(
            f"{path} stays as it is: it has shards whose outputs cannot be gathered now, see "
            f"above: {listed}. To give them up, move the database away and rebuild again"
        )


def refuse_to_lose_samples(path: Path, old: OldDatabase, fresh: Path) -> None:
    """Raise RunError if the old database has samples that the fresh one does not have."""
    with duckdb_file.open_database(fresh) as connection:
        lost = old.samples - sample_rows.names(connection)
    if lost:
        raise RunError(
            f"{path} stays as it is: it has samples whose files are missing or cannot be read now, "
            f"and nothing else knows their inclusion probabilities: {', '.join(sorted(lost))}. "
            "Restore the files in the folder samples of the run root. To give the samples up, "
            "move the database away and rebuild again"
        )


def name_fresh(path: Path) -> Path:
    """Return an unused path for the database that is to replace another one."""
    return path.with_name(f"{path.name}{_FRESH}{uuid.uuid4().hex[:8]}")


def remove_abandoned(path: Path) -> None:
    """Delete what rebuilds of a database left behind that were killed.

    A rebuild has its file open from beginning to end, so that DuckDB holds a lock on it.
    """
    for fresh in path.parent.glob(f"{glob.escape(path.name + _FRESH)}*"):
        if re.fullmatch("[0-9a-f]{8}", fresh.name.removeprefix(path.name + _FRESH)):
            with suppress(OSError):  # it is of no use, and it is in nobody's way
                _remove_unless_held(fresh)


def _remove_unless_held(fresh: Path) -> None:
    """Delete a database and its log. Raises OSError if a process has it open."""
    with fresh.open("r+b") as stream:
        os.lockf(stream.fileno(), os.F_TLOCK, 0)
        remove(fresh)


def remove(fresh: Path) -> None:
    """Delete a database that did not replace another one, its log and its files of labels."""
    if label_files.folder_of(fresh).is_dir():
        shutil.rmtree(label_files.folder_of(fresh), ignore_errors=True)
    log_of(fresh).unlink(missing_ok=True)
    fresh.unlink(missing_ok=True)


def replace_with_files(path: Path, fresh: Path, *, is_usable: bool) -> Path | None:
    """Put a rebuilt database in the place of the old one, together with its files of labels.

    A gather between the two would take the new files for those of a killed one, so the old database
    is kept open meanwhile. Its own files are moved beside it under its new name.

    Args:
        path: the database.
        fresh: the rebuilt one.
        is_usable: whether the old one can be opened.

    Returns:
        The old one's new path; None if there was none.
    """
    had_files = label_files.folder_of(path).is_dir()
    if had_files and not is_usable:
        folder = label_files.folder_of(path)
        folder.rename(files.name_to_keep(folder))
    with duckdb_file.open_database(path, read_only=True) if is_usable else nullcontext():
        if label_files.folder_of(fresh).is_dir():
            _move_files(fresh, label_files.folder_name(path))
        kept = replace(path, fresh)
    if kept and is_usable and had_files:
        # Whatever is wrong with the old files, the new ones are in use already.
        with suppress(OSError, RunError, duckdb.Error):
            _move_files(kept, label_files.folder_name(kept))
    return kept


def _move_files(path: Path, folder: str) -> None:
    """Move the files of a database's labels to another folder beside it."""
    with duckdb_file.open_database(path) as connection, duckdb_file.transaction(connection):
        parts.move_all(
            connection, layouts.current_catalog(connection), path.resolve().parent, folder
        )


def replace(path: Path, fresh: Path) -> Path | None:
    """Put a fresh database in the place of the old one; return the old one's new path.

    The old file and its log keep names that belong together, so that DuckDB can open them. There is
    a database under its name at any moment, unless the file system has no hard links.
    """
    if log_of(fresh).exists():
        raise RunError(f"{fresh} could not be completed: is the disk full?")
    kept = files.name_to_keep(path, lambda name: name.exists() or log_of(name).exists())
    has_old = path.exists() or log_of(path).exists()
    if log_of(path).exists():
        log_of(path).rename(log_of(kept))
    if path.exists():
        try:
            os.link(path, kept)
        except OSError:
            path.rename(kept)
    files.sync_all([fresh])
    fresh.rename(path)
    files.sync_all([path.parent])
    return kept if has_old else None
