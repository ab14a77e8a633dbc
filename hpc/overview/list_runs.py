"""Find out what is known of the runs under a run root, asking each cluster and database once."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from msgspec.structs import replace

from hpc.executors.base import Executor
from hpc.executors.factory import shared_executors
from hpc.overview.known_runs import Stamp, read_known_runs, stamp_of, write_known_runs
from hpc.overview.run_row import Kind, RunRow
from hpc.reconcile.look import look
from hpc.run.model.arrays import Submission
from hpc.run.model.run import Run
from hpc.run.outputs import verify_outputs
from hpc.run.run_folder import SET_ASIDE, load
from hpc.run.run_state import RunState
from hpc.run.submissions import read_submissions
from hpc.runs import find_runs
from hpc.runs.unusable_runs import find_unusable
from pipeline.archive import is_archived
from pipeline.database import duckdb_file, history
from pipeline.database.duckdb_file import SHORT_PATIENCE
from pipeline.errors import InputError, RunError


def list_folders(run_root: Path) -> dict[str, Kind]:
    """Return by name every folder under a run root that is or was a run, oldest first.

    Raises:
        UnreadableError: the run root cannot be read now.
    """
    unusable = {each.folder.name: Kind.UNREADABLE for each in find_unusable(run_root)}
    runs = {folder.name: Kind.RUN for folder in find_runs.every_folder(run_root)}
    aside = run_root / SET_ASIDE
    names = sorted(path.name for path in aside.iterdir()) if aside.is_dir() else []
    set_aside = {f"{SET_ASIDE}/{name}": Kind.SET_ASIDE for name in names}
    found = {**set_aside, **unusable, **runs}
    order = {name: number for number, name in enumerate(runs)}
    return {
        name: found[name]
        for name in sorted(
            found,
            key=lambda name: (name.rpartition("/")[2].split("-")[0], order.get(name, 0), name),
        )
    }


def list_runs(run_root: Path, folders: Mapping[str, Kind]) -> list[RunRow]:
    """Return what is known of some folders, in their order.

    Args:
        run_root: the folder of all runs.
        folders: those to look at, by name, as `list_folders` returns them.
    """
    return _Listing(run_root).list(folders)


@dataclass(slots=True)
class _Listing:
    run_root: Path
    known: dict[str, tuple[Stamp, RunRow]] = field(default_factory=dict)
    loaded: dict[str, Run] = field(default_factory=dict)

    def list(self, folders: Mapping[str, Kind]) -> list[RunRow]:
        self.known = read_known_runs(self.run_root)
        before = dict(self.known)
        rows = {name: self._first_look(name, kind) for name, kind in folders.items()}
        self._ask_executors(rows)
        if self.known != before:
            write_known_runs(self.run_root, self.known)
        return _with_gathered(list(rows.values()))

    def _first_look(self, name: str, kind: Kind) -> RunRow:
        """Return what the folder alone says. The state of a run that is not complete is open."""
        folder = self.run_root / name
        stamp = stamp_of(folder)
        before = self.known.pop(name, None)
        if before and before[0] == stamp:
            self.known[name] = before
            return before[1]
        row = RunRow(folder=name, kind=kind)
        if kind is Kind.RUN:
            row = self._read_run(folder, row)
        size, count = measure(folder)
        row = replace(row, size=size, files=count)
        if row.state is RunState.COMPLETE:
            self.known[name] = stamp, row
        return row

    def _read_run(self, folder: Path, row: RunRow) -> RunRow:
        try:
            run = load(folder)
        except (InputError, RunError, OSError) as error:
            kind = Kind.COPY if find_runs.is_copy(folder) else Kind.UNREADABLE
            return replace(row, kind=kind, note=str(error))
        manifest = run.manifest
        row = replace(
            row,
            kind=Kind.CODINGS if manifest.is_coded_by_people else Kind.RUN,
            posts=manifest.posts,
            shards=len(manifest.shards),
            database=manifest.database,
        )
        try:
            is_complete = all(check.verified for check in verify_outputs(run))
            archived = is_archived(folder)
        except (RunError, OSError) as error:
            return replace(row, kind=Kind.UNREADABLE, note=str(error))
        if is_complete:
            complete = RunState.COMPLETE
            return replace(row, state=complete, posts_done=manifest.posts, is_archived=archived)
        self.loaded[row.folder] = run
        return row

    def _ask_executors(self, rows: dict[str, RunRow]) -> None:
        """Fill in the states of the runs that are not complete."""
        asked: list[tuple[Run, Sequence[Submission]]] = []
        for name, run in self.loaded.items():
            try:
                asked.append((run, read_submissions(run)))
            except (InputError, RunError, OSError) as error:
                rows[name] = replace(rows[name], kind=Kind.UNREADABLE, note=str(error))
        executors = shared_executors(asked)
        for run, _ in asked:
            name = run.folder.name
            rows[name] = _look(run, executors[run.run_id], rows[name])


def _with_gathered(rows: Sequence[RunRow]) -> list[RunRow]:
    """Return the rows with how many shards their databases have."""
    counts = {
        database: _count_gathered(Path(database))
        for database in {row.database for row in rows} - {""}
    }
    return [
        replace(row, gathered_shards=of_database.get(row.run_id, 0))
        if row.database and (of_database := counts[row.database]) is not None
        else row
        for row in rows
    ]


def _count_gathered(database: Path) -> dict[str, int] | None:
    """Return by run id how many shards a database has; None if it cannot be read now."""
    try:
        if not duckdb_file.exists(database):
            return {}
        with duckdb_file.open_database(database, read_only=True, patience=SHORT_PATIENCE) as labels:
            return history.count_gathered(labels)
    except (RunError, OSError, duckdb.Error):
        return None


def _look(run: Run, executor: Executor, row: RunRow) -> RunRow:
    try:
        status = look(run, executor)
    except (InputError, RunError, OSError) as error:
        return replace(row, state=RunState.UNKNOWN, note=str(error))
    return replace(
        row,
        state=status.state,
        posts_done=status.posts_done,
        note=(status.observation.trouble or "").strip(),
    )


def measure(folder: Path) -> tuple[int, int]:
    """Return how many bytes the files below a folder have, and how many files and folders it has.

    Files that several names share count once each. What cannot be read now does not count.
    """
    size, count, folders = 0, 1, [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return size, count
