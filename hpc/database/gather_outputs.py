"""Copy published outputs into DuckDB: safe to repeat and to kill, rows and counts checked.

Outputs are read one by one and written in batches, one transaction each. Whatever ends a gather,
the next one copies the outputs that are not in the database yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from hpc.database.gathered_shards import find_not_gathered
from hpc.database.history_rows import attempt_rows, run_row, shard_row
from hpc.database.insert_outputs import Tally, insert_outputs, report_outputs
from hpc.database.load_maps import load_maps
from hpc.database.load_samples import load_samples
from hpc.database.register_runs import register, register_others
from hpc.database.run_database import database_of
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, Observation
from pipeline.config.sections import DUCKDB
from pipeline.database import duckdb_file, history, label_tables
from pipeline.database.duckdb_file import Patience
from pipeline.database.stores import parts
from pipeline.database.stores.open_store import open_store
from pipeline.errors import RunError, UnreadableError
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.run_files.output import OutputCheck


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
    unregistered: Path | None = None
    """The folder with files of labels that the database does not register; None if none were found.

    They were moved there now."""


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
    tally = Tally(renames=into.renames_damaged)
    with duckdb_file.open_database(path, patience=patience, limits=run.limits) as connection:
        report_outputs(run, observation, tally)
        unregistered = parts.sweep(connection, path)
        store = open_store(connection, path, name, into.layout or run.manifest.layout)
        register(connection, run)
        before = label_tables.count(connection, name)
        published = [shard.output for shard in observation.shards]
        shards = find_not_gathered(history.gathered_shards(connection, run.run_id), published)
        with progress.step("gathering", total=len(shards), unit="output") as step:
            for _ in insert_outputs(connection, store, run, shards, tally):
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
        tally.rejected += register_others(connection, run)
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
        unregistered=unregistered,
    )


def _load_samples_and_maps(connection: duckdb.DuckDBPyConnection, run: Run, tally: Tally) -> None:
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


def gather_into_copy(
    published: Mapping[str, Sequence[OutputCheck]], runs: Sequence[Run], copy: Path
) -> tuple[str, ...]:
    """Add the outputs that a copy of a database does not have. No output is renamed.

    Args:
        published: the outputs of each run, by its id.
        runs: the runs, oldest first.
        copy: the copy, which has the history of these runs as far as they were gathered.

    Returns:
        A message for each output that was left out.
    """
    tally = Tally(renames=False)
    with duckdb_file.open_database(copy, limits=runs[-1].limits) as connection:
        for run in runs:
            register(connection, run)
        for run in runs:
            known = history.gathered_shards(connection, run.run_id)
            shards = find_not_gathered(known, published[run.run_id])
            store = open_store(connection, copy, run.manifest.name, DUCKDB)
            for _ in insert_outputs(connection, store, run, shards, tally):
                pass
        for root in sorted({run.folder.parent for run in runs}):
            load_maps(connection, root)  # the next gather reports what is wrong
    return (*tally.rejected, *tally.unreadable)
