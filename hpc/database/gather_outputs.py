"""Published outputs into DuckDB: one transaction a shard, any number of times, and counts that add
up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from hpc.database.history_rows import attempt_rows, run_row, shard_row
from hpc.run import outputs, run_folder
from hpc.run.model import Judgement, Observation, Run, State
from hpc.run.run_state import RunState
from pipeline.database import duckdb_file, history, label_tables, supersede
from pipeline.errors import InputError, RunError
from pipeline.run_files import output
from pipeline.run_files.manifest import output_path

# Outputs are looked for in the labels' table so many rows at a time: one pass for many shards.
BATCH_ROWS = 500_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """`rows_before + rows_added == rows_after`, checked; the rows of a redone shard replace its
    former ones and add nothing. `rejected` holds a line an output that was left out; `set_aside`
    counts those that are no output any more."""

    rows_before: int
    rows_added: int
    rows_after: int
    unlabelable: int
    already_present: int
    rejected: tuple[str, ...]
    set_aside: int
    shards: int


@dataclass(frozen=True, slots=True)
class _Output:
    index: int
    publication: str
    labels: pa.Table


def gather(
    run: Run,
    observation: Observation,
    judged: Sequence[Judgement],
    *,
    database: Path | None = None,
) -> Gathered:
    """Brings in what is published and not there yet, and the run's history as it is now known; into
    the run's database, or another.

    Raises BusyError where another process keeps the database, RunError where the counts do not
    add up or a column's type has changed.
    """
    name = run.manifest.name
    path = database or Path(run.manifest.database)
    with duckdb_file.opened(path) as opened:
        todo = _not_gathered(opened, run, observation)
        rejected = [
            f"{_path(run, shard.index)}: left out: {shard.output.problem}"
            for shard in observation.shards
            if shard.output.problem
        ]
        before = label_tables.count(opened, name)
        added = unlabelable = present = shards = 0
        for batch in _batches(_read(run, todo, rejected)):
            for one, removed, inserted in _bring_in(opened, run, batch):
                added += inserted - removed
                present += one.labels.num_rows - inserted
                unlabelable += pc.sum(pc.invert(one.labels["was_successfully_labeled"])).as_py()
                shards += 1
        after = label_tables.count(opened, name)
        if before + added != after:
            raise RunError(
                f"{path}: {before} rows before, {added} added, but {after} after: "
                "something else wrote to it meanwhile; gather again and compare"
            )
        rejected += _register_others(opened, run)
        _write_history(opened, run, observation, judged)
    return Gathered(
        rows_before=before,
        rows_added=added,
        rows_after=after,
        unlabelable=unlabelable,
        already_present=present,
        rejected=tuple(rejected),
        set_aside=sum("set aside" in line for line in rejected),
        shards=shards,
    )


def _read(run: Run, todo: list[tuple[int, str]], rejected: list[str]) -> Iterator[_Output]:
    """The outputs, every page verified. A damaged one is set aside: its shard is to be redone."""
    for index, _ in todo:
        verdict, labels = output.read(run.folder, run.manifest, index)
        if labels is not None and verdict.publication:
            yield _Output(index, verdict.publication, labels)
        elif verdict.problem and output.verify(run.folder, run.manifest, index).verified:
            aside = outputs.quarantine(run, index)
            rejected.append(f"{_path(run, index)}: {verdict.problem}: set aside as {aside.name}")
        else:
            rejected.append(f"{_path(run, index)}: left out: {verdict.problem or 'it is gone'}")


def _batches(found: Iterator[_Output]) -> Iterator[list[_Output]]:
    batch: list[_Output] = []
    for one in found:
        batch.append(one)
        if sum(each.labels.num_rows for each in batch) >= BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _bring_in(
    database: duckdb.DuckDBPyConnection, run: Run, batch: list[_Output]
) -> Iterator[tuple[_Output, int, int]]:
    name = run.manifest.name
    # All of them: a run that was under way while its program was updated has two kinds.
    for schema in dict.fromkeys(one.labels.schema.remove_metadata() for one in batch):
        label_tables.ensure_labels(database, name, schema)
    outdated = supersede.outdated(run.manifest.replaces, run.manifest.config_hash)
    labels = [one.labels for one in batch]
    present = label_tables.overlap(database, name, run.run_id, labels, outdated=outdated)
    for one in batch:
        row = shard_row(run, one.index, one.publication, datetime.now(UTC))
        removed, inserted = label_tables.replace_shard(
            database, name, one.labels, shard=row, present=present, outdated=outdated
        )
        yield one, removed, inserted


def _write_history(
    database: duckdb.DuckDBPyConnection,
    run: Run,
    observation: Observation,
    judged: Sequence[Judgement],
) -> None:
    known = history.gathered_shards(database, run.run_id)
    history.replace_history(
        database,
        run=run_row(run, judged),
        shards=[
            {
                **shard_row(run, one.index, *known.get(one.index, (None, None))),
                "state": str(one.state),
                "cause": str(one.cause) if one.cause else None,
                "attempts": len(facts.attempts),
            }
            for one, facts in zip(judged, observation.shards, strict=True)
        ],
        attempts=attempt_rows(run, observation),
    )


def is_gathered(run: Run, observation: Observation) -> bool:
    """Whether the database has every shard as it is published now. False where the database cannot
    be read at this moment: `gather` says why."""
    database = Path(run.manifest.database)
    if not all(shard.output.verified for shard in observation.shards) or not database.exists():
        return False
    try:
        with duckdb_file.opened(database, read_only=True, wait_s=0.0) as labels:
            return not _not_gathered(labels, run, observation)
    except (RunError, OSError, duckdb.Error):
        return False


def _not_gathered(
    database: duckdb.DuckDBPyConnection, run: Run, observation: Observation
) -> list[tuple[int, str]]:
    """The shards that the database has not as they are published now, with the publications."""
    known = history.gathered_shards(database, run.run_id)
    return [
        (shard.index, shard.output.publication)
        for shard in observation.shards
        if shard.output.publication and known.get(shard.index, ("",))[0] != shard.output.publication
    ]


def register_run(run: Run) -> None:
    """Makes a run that was just planned known to the database, so that it holds the watermark back.

    Raises BusyError where another process keeps the database; the next `gather` does it then.
    """
    with duckdb_file.opened(Path(run.manifest.database)) as database:
        _register(database, run)


def forget_run(run: Run) -> None:
    """Removes a run in which nothing was paid for, also from the database."""
    run_folder.remove(run.folder)
    database = Path(run.manifest.database)
    if database.exists():
        with duckdb_file.opened(database) as connection:
            history.delete_run(connection, run.run_id)


def _register_others(database: duckdb.DuckDBPyConnection, run: Run) -> list[str]:
    """The runs beside this one; a line for each that cannot be read."""
    unreadable = []
    for folder in run_folder.all_runs(run.folder.parent):
        try:
            other = run_folder.load(folder)
        except InputError as error:
            unreadable.append(f"{error}: its posts do not hold the watermark back")
            continue
        if other.manifest.database == run.manifest.database and other.run_id != run.run_id:
            _register(database, other)
    return unreadable


def _register(database: duckdb.DuckDBPyConnection, run: Run) -> None:
    planned = [
        {**shard_row(run, shard.index, None, None), "state": str(State.PLANNED)}
        for shard in run.manifest.shards
    ]
    row = {**run_row(run, ()), "state": str(RunState.PLANNED)}
    history.register(database, row, planned)


def _path(run: Run, index: int) -> str:
    return str(output_path(run.folder, index))
