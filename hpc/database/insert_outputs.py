"""Read the outputs of shards with every row verified, and insert them, a batch a transaction."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from hpc.database.history_rows import shard_row
from hpc.database.output_batches import Batch, Output, batches
from hpc.run.model.run import Run
from hpc.run.model.shards import Observation
from pipeline.database import history, label_tables, output_proofs, supersede
from pipeline.database.history import GatheredShard
from pipeline.database.output_proofs import OutputProof
from pipeline.database.stores.label_store import LabelStore
from pipeline.database.supersede import Replacement
from pipeline.late_imports import arrow_compute as pc
from pipeline.run_files import output
from pipeline.run_files.manifest import output_path
from pipeline.run_files.output import OutputCheck

# How long to wait before outputs that could not be read are tried again, in seconds.
PAUSE_S = 0.5


@dataclass(kw_only=True, slots=True)
class Tally:
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


def report_outputs(run: Run, observation: Observation, tally: Tally) -> None:
    """Name the files that are not outputs, and those that cannot be read now."""
    for shard in observation.shards:
        path = _path(run, shard.index)
        if shard.output.problem:
            tally.rejected.append(f"{path}: left out: {shard.output.problem}")
        if shard.output.unreadable:
            tally.unreadable.append(f"{path}: cannot be read now: {shard.output.unreadable}")


def _read_outputs(run: Run, shards: list[int], tally: Tally) -> Iterator[Output]:
    """Yield the outputs, with every page and row verified.

    A damaged output is renamed, so that its shard is labeled again. What cannot be read is tried
    once more after all others, and then left as it is.
    """
    again: list[int] = []
    for index in shards:
        check, labels = output.read(run.folder, run.manifest, index, pauses=())
        if check.unreadable or check.unchecked:
            again.append(index)
        elif labels is not None and check.publication:
            yield Output(index, check, labels)
        else:
            _reject(run, index, check, tally)
    if again:
        time.sleep(PAUSE_S)
    for index in again:
        check, labels = output.read(run.folder, run.manifest, index, pauses=())
        if check.unreadable:
            tally.unreadable.append(f"{_path(run, index)}: cannot be read now: {check.unreadable}")
        elif labels is not None and check.publication:
            if check.unchecked:
                tally.unreadable.append(
                    f"{_path(run, index)}: gathered, but not compared with its shard: "
                    f"{check.unchecked}"
                )
            yield Output(index, check, labels)
        else:
            _reject(run, index, check, tally)


def _reject(run: Run, index: int, check: OutputCheck, tally: Tally) -> None:
    """Leave an output out, and rename it if it would count as its shard's output otherwise."""
    path, problem = _path(run, index), check.problem or "it no longer exists"
    counts = check.problem and output.verify(run.folder, run.manifest, index).verified
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


def insert_outputs(
    connection: duckdb.DuckDBPyConnection,
    store: LabelStore,
    run: Run,
    shards: list[int],
    tally: Tally,
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
    tally: Tally,
    rows_end: int,
) -> None:
    """Insert a batch; only rows before `rows_end` can be of the same posts."""
    # A run that was under way while its program was updated has several schemas.
    labels = batch.tables()
    for table in labels:
        store.ensure_columns(table.schema)
    newer = history.newer_runs(connection, run.run_id)
    outdated = supersede.outdated_condition(
        run.manifest.replaces, run.manifest.config_hash, newer=newer
    )
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
            shard_row(run, index, _gathered_shard(check, now, hashes[index]))
            for index, check in batch.checks.items()
        ],
        present=present,
        replacement=Replacement(outdated=outdated, newer=newer),
    )
    labeled = sum(pc.sum(table["was_successfully_labeled"]).as_py() or 0 for table in labels)
    tally.added += inserted - removed
    tally.already_present += batch.rows - inserted
    tally.unlabelable += batch.rows - labeled
    tally.shards += len(batch.checks)


def _gathered_shard(check: OutputCheck, now: datetime, rows_hash: str) -> GatheredShard:
    return GatheredShard(check.publication or "", now, OutputProof(check.sha256, rows_hash))


def _path(run: Run, index: int) -> Path:
    return output_path(run.folder, index)
