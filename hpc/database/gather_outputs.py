"""Copy published outputs into DuckDB: safe to repeat and to kill, rows and counts checked.

Outputs are read one by one and written in batches, one transaction each. Whatever ends a gather,
the next one copies the outputs that are not in the database yet.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from hpc.database.history_rows import attempt_rows, run_row, shard_row
from hpc.database.load_maps import load_maps
from hpc.database.load_samples import load_samples
from hpc.database.output_batches import Batch, Output, batches
from hpc.database.run_database import database_of
from hpc.run import run_folder
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, Observation, State
from hpc.run.run_state import RunState
from hpc.runs import find_runs
from hpc.runs.unusable_runs import find_unusable
from pipeline.config.sections import DUCKDB
from pipeline.database import duckdb_file, history, label_tables, output_proofs, supersede
from pipeline.database.duckdb_file import Patience
from pipeline.database.history import GatheredShard
from pipeline.database.output_proofs import OutputProof
from pipeline.database.stores.label_store import LabelStore
from pipeline.database.stores.open_store import open_store
from pipeline.database.supersede import Replacement
from pipeline.errors import InputError, RunError, UnreadableError
from pipeline.late_imports import arrow_compute as pc
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.run_files import output
from pipeline.run_files.manifest import output_path
from pipeline.run_files.output import Verdict

# How long to wait before outputs that could not be read are tried again, in seconds.
PAUSE_S = 0.5
_NO_PATIENCE = Patience(seconds=0.0)
_LITTLE_PATIENCE = Patience(seconds=1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """What one gathering did. `rows_before + rows_added == rows_after` has been checked.

    The rows of a shard that was labeled again replace its former ones and add nothing.
    """

    rows_before: int
    rows_added: int
    rows_after: int
    unlabelable: int
    """Gathered rows without a label."""
    already_present: int
    """Posts that another run has labeled already; their rows stay."""
    rejected: tuple[str, ...]
    """A message for each output or run that was left out for what it holds."""
    unreadable: tuple[str, ...] = ()
    """A message for each file that could not be read now; it was left as it is."""
    set_aside: int
    """How many damaged outputs were renamed, so that their shards are labeled again."""
    shards: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where outputs are gathered to."""

    database: Path | None = None
    """Another database than the run's; None for the run's own."""
    renames_damaged: bool = True
    """Whether to rename damaged outputs, so that their shards are labeled again."""
    layout: str | None = None
    """Another layout for a name without labels than the run's; None for the run's own."""


_OWN_DATABASE = Target()


@dataclass(kw_only=True, slots=True)
class _Tally:
    """Counts while outputs are gathered."""

    renames: bool
    """Whether damaged outputs are renamed."""
    added: int = 0
    unlabelable: int = 0
    already_present: int = 0
    shards: int = 0
    set_aside: int = 0
    rejected: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def gather(
    run: Run,
    observation: Observation,
    judgements: Sequence[Judgement],
    *,
    into: Target = _OWN_DATABASE,
    patience: Patience | None = None,
    progress: Progress = NO_PROGRESS,
) -> Gathered:
    """Copy the outputs that are not in the database yet, and bring the run's history up to date.

    Args:
        run: the run to gather.
        observation: what its folder and its executor say.
        judgements: what follows for each shard.
        into: where to, if not into the run's own database.
        patience: how to wait for another process that has the database open.
        progress: shows how many outputs were gathered.

    Raises:
        HeldDatabaseError: another process has the database open.
        RunError: the counts do not add up, or a column's type has changed.
    """
    name = run.manifest.name
    path = into.database or database_of(run)
    tally = _Tally(renames=into.renames_damaged)
    with duckdb_file.opened(path, patience=patience, limits=run.limits) as connection:
        _report_outputs(run, observation, tally)
        store = open_store(connection, path, name, into.layout or run.manifest.layout)
        _register(connection, run)
        before = label_tables.count(connection, name)
        published = [shard.output for shard in observation.shards]
        shards = find_not_gathered(history.gathered_shards(connection, run.run_id), published)
        with progress.step("gathering", total=len(shards), unit="output") as step:
            for _ in _insert_batches(connection, store, run, shards, tally):
                step.advance(tally.shards)
            if tally.shards:
                known = history.gathered_shards(connection, run.run_id)
                store.compact(run.run_id, is_whole=len(known) == len(run.manifest.shards))
        after = label_tables.count(connection, name)
        if before + tally.added != after:
            raise RunError(
                f"{path}: {before} rows before, {tally.added} added, but {after} after: "
                "something else wrote to it meanwhile; gather again and compare"
            )
        tally.rejected += _register_others(connection, run)
        _load_samples_and_maps(connection, run, tally)
        _write_history(connection, run, observation, judgements)
    return Gathered(
        rows_before=before,
        rows_added=tally.added,
        rows_after=after,
        unlabelable=tally.unlabelable,
        already_present=tally.already_present,
        rejected=tuple(tally.rejected),
        unreadable=tuple(tally.unreadable),
        set_aside=tally.set_aside,
        shards=tally.shards,
    )


def _report_outputs(run: Run, observation: Observation, tally: _Tally) -> None:
    """Name the files that are not outputs, and those that cannot be read now."""
    for shard in observation.shards:
        path = _path(run, shard.index)
        if shard.output.problem:
            tally.rejected.append(f"{path}: left out: {shard.output.problem}")
        if shard.output.unreadable:
            tally.unreadable.append(f"{path}: cannot be read now: {shard.output.unreadable}")


def _read_outputs(run: Run, shards: list[int], tally: _Tally) -> Iterator[Output]:
    """Yield the outputs, with every page and row verified.

    A damaged output is renamed, so that its shard is labeled again. What cannot be read is tried
    once more after all others, and then left as it is.
    """
    again: list[int] = []
    for index in shards:
        verdict, labels = output.read(run.folder, run.manifest, index, pauses=())
        if verdict.unreadable or verdict.unchecked:
            again.append(index)
        elif labels is not None and verdict.publication:
            yield Output(index, verdict, labels)
        else:
            _reject(run, index, verdict, tally)
    if again:
        time.sleep(PAUSE_S)
    for index in again:
        verdict, labels = output.read(run.folder, run.manifest, index, pauses=())
        if verdict.unreadable:
            tally.unreadable.append(
                f"{_path(run, index)}: cannot be read now: {verdict.unreadable}"
            )
        elif labels is not None and verdict.publication:
            if verdict.unchecked:
                tally.unreadable.append(
                    f"{_path(run, index)}: gathered, but not compared with its shard: "
                    f"{verdict.unchecked}"
                )
            yield Output(index, verdict, labels)
        else:
            _reject(run, index, verdict, tally)


def _reject(run: Run, index: int, verdict: Verdict, tally: _Tally) -> None:
    """Leave an output out, and rename it if it would count as its shard's output otherwise."""
    path, problem = _path(run, index), verdict.problem or "it no longer exists"
    counts = verdict.problem and output.verify(run.folder, run.manifest, index).verified
    if not (counts and tally.renames):
        tally.rejected.append(f"{path}: left out: {problem}")
        return
    try:
        renamed = output.set_aside(path)
    except OSError as error:
        tally.rejected.append(f"{path}: {problem}: cannot be set aside: {error.strerror}")
        return
    tally.set_aside += 1
    tally.rejected.append(f"{path}: {problem}: set aside as {renamed.name}")


def _insert_batches(
    connection: duckdb.DuckDBPyConnection,
    store: LabelStore,
    run: Run,
    shards: list[int],
    tally: _Tally,
) -> Iterator[None]:
    """Insert the outputs of shards, and yield after each batch of them."""
    # No post is in two shards of a run, so no batch can repeat a post of the batches before it.
    rows_end = store.rows_end()
    for batch in batches(_read_outputs(run, shards, tally)):
        _insert(connection, store, run, batch, tally, rows_end)
        yield


def _insert(
    connection: duckdb.DuckDBPyConnection,
    store: LabelStore,
    run: Run,
    batch: Batch,
    tally: _Tally,
    rows_end: int,
) -> None:
    """Insert a batch; only rows before `rows_end` can be of the same posts."""
    # A run that was under way while its program was updated has several schemas.
    labels = batch.tables()
    for table in labels:
        store.ensure_columns(table.schema)
    newer = history.newer_runs(connection, run.run_id)
    outdated = supersede.outdated(run.manifest.replaces, run.manifest.config_hash, newer=newer)
    present = label_tables.overlap(
        connection, store, run.run_id, labels, outdated=outdated, rows_end=rows_end
    )
    now = datetime.now(UTC)
    hashes = output_proofs.hash_shards(connection, labels)
    removed, inserted = label_tables.replace_shards(
        connection,
        store,
        labels,
        shards=[
            shard_row(run, index, _gathered(verdict, now, hashes[index]))
            for index, verdict in batch.verdicts.items()
        ],
        present=present,
        replacement=Replacement(outdated=outdated, newer=newer),
    )
    labeled = sum(pc.sum(table["was_successfully_labeled"]).as_py() or 0 for table in labels)
    tally.added += inserted - removed
    tally.already_present += batch.rows - inserted
    tally.unlabelable += batch.rows - labeled
    tally.shards += len(batch.verdicts)


def _gathered(verdict: Verdict, now: datetime, rows_hash: str) -> GatheredShard:
    return GatheredShard(verdict.publication or "", now, OutputProof(verdict.sha256, rows_hash))


def _load_samples_and_maps(connection: duckdb.DuckDBPyConnection, run: Run, tally: _Tally) -> None:
    root = run.folder.parent
    for error in (*load_samples(connection, root), *load_maps(connection, root)):
        problems = tally.unreadable if isinstance(error, UnreadableError) else tally.rejected
        problems.append(str(error))


def _write_history(
    connection: duckdb.DuckDBPyConnection,
    run: Run,
    observation: Observation,
    judgements: Sequence[Judgement],
) -> None:
    known = history.gathered_shards(connection, run.run_id)
    history.replace_history(
        connection,
        run=run_row(run, judgements),
        shards=[
            {
                **shard_row(run, judgement.index, known.get(judgement.index)),
                "state": str(judgement.state),
                "cause": str(judgement.cause) if judgement.cause else None,
                "attempts": len(shard.attempts),
            }
            for judgement, shard in zip(judgements, observation.shards, strict=True)
        ],
        attempts=attempt_rows(run, observation),
    )


def is_gathered(run: Run, observation: Observation) -> bool:
    """Return whether the database has every shard as it is published now.

    False if the database cannot be read at this moment; `gather` reports why.
    """
    database = Path(run.manifest.database)
    if not all(shard.output.verified for shard in observation.shards) or not database.exists():
        return False
    try:
        with duckdb_file.opened(database, read_only=True, patience=_NO_PATIENCE) as labels:
            known = history.gathered_shards(labels, run.run_id)
            return not find_not_gathered(known, [shard.output for shard in observation.shards])
    except (RunError, OSError, duckdb.Error):
        return False


def find_not_gathered(
    known: Mapping[int, GatheredShard], published: Sequence[Verdict]
) -> list[int]:
    """Return the shards with an output that the database does not have.

    Args:
        known: what the database has, by the shard's index.
        published: the shards' outputs, in the order of the shards.
    """
    return [
        index
        for index, verdict in enumerate(published)
        if verdict.publication
        and (index not in known or known[index].publication != verdict.publication)
    ]


def gather_into_copy(
    published: Mapping[str, Sequence[Verdict]], runs: Sequence[Run], copy: Path
) -> tuple[str, ...]:
    """Add the outputs that a copy of a database does not have. No output is renamed.

    Args:
        published: the outputs of each run, by its id.
        runs: the runs, oldest first.
        copy: the copy, which has the history of these runs as far as they were gathered.

    Returns:
        A message for each output that was left out.
    """
    tally = _Tally(renames=False)
    with duckdb_file.opened(copy, limits=runs[-1].limits) as connection:
        for run in runs:
            _register(connection, run)
        for run in runs:
            known = history.gathered_shards(connection, run.run_id)
            shards = find_not_gathered(known, published[run.run_id])
            store = open_store(connection, copy, run.manifest.name, DUCKDB)
            for _ in _insert_batches(connection, store, run, shards, tally):
                pass
        for root in sorted({run.folder.parent for run in runs}):
            load_maps(connection, root)  # the next gather reports what is wrong
    return (*tally.rejected, *tally.unreadable)


def register_run(run: Run) -> None:
    """Record a new run in the database, so that its posts hold the watermark back.

    Raises:
        HeldDatabaseError: another process has the database open; the next `gather` records the run.
    """
    with duckdb_file.opened(database_of(run), patience=_LITTLE_PATIENCE) as database:
        _register(database, run)
        load_samples(database, run.folder.parent)  # the next gather reports what is wrong


def register_samples(run_root: Path, database: Path) -> None:
    """Load the samples of a run root into a database that exists, where no run comes of a sample.

    Raises:
        HeldDatabaseError: another process has the database open; the next `gather` loads them.
    """
    if duckdb_file.exists(database):
        with duckdb_file.opened(database, patience=_LITTLE_PATIENCE) as connection:
            load_samples(connection, run_root)


def forget_run(run: Run) -> None:
    """Delete a run in which nothing was paid for, also from the database."""
    database = database_of(run)
    run_folder.remove(run.folder)
    _delete_run(run, database)


def delete_from_history(run: Run) -> None:
    """Delete a run of which nothing was gathered from the database, if there is one.

    Raises:
        HeldDatabaseError: another process has the database open.
    """
    _delete_run(run, database_of(run))


def _delete_run(run: Run, database: Path) -> None:
    if database.exists():
        with duckdb_file.opened(database) as connection:
            history.delete_run(connection, run.run_id)


def _register_others(database: duckdb.DuckDBPyConnection, run: Run) -> list[str]:
    """Record the other runs of the run root; return a message for each that cannot be read."""
    unreadable = [
        f"{each}. Until then, its posts cannot hold the watermark back"
        for each in find_unusable(run.folder.parent)
        if each.may_be_of(run.manifest.name)
    ]
    for folder in find_runs.all_runs(run.folder.parent):
        try:
            other = run_folder.load(folder)
        except (InputError, RunError, OSError) as error:
            unreadable.append(f"{error}: its posts cannot hold the watermark back")
            continue
        if other.manifest.database == run.manifest.database and other.run_id != run.run_id:
            _register(database, other)
    return unreadable


def _register(database: duckdb.DuckDBPyConnection, run: Run) -> None:
    planned = [
        {**shard_row(run, shard.index, None), "state": str(State.PLANNED)}
        for shard in run.manifest.shards
    ]
    row = {**run_row(run, ()), "state": str(RunState.PLANNED)}
    history.register(database, row, planned)


def _path(run: Run, index: int) -> Path:
    return output_path(run.folder, index)
