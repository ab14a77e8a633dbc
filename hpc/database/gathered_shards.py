"""Tell which shards of a run the database has as they are published now."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from hpc.run.model.run import Run
from hpc.run.model.shards import Observation
from pipeline.database import duckdb_file, history
from pipeline.database.duckdb_file import Patience
from pipeline.database.history import GatheredShard
from pipeline.errors import RunError
from pipeline.run_files.output import OutputCheck

_NO_PATIENCE = Patience(seconds=0.0)


def read_gathered_shards(run: Run, observation: Observation) -> frozenset[int]:
    """Return the indices of the shards that were gathered and have not been published again since.

    Raises:
        BusyError: another process has the database open.
    """
    database = Path(run.manifest.database)
    if not duckdb_file.exists(database):
        return frozenset()
    with duckdb_file.open_database(database, read_only=True) as labels:
        known = history.gathered_shards(labels, run.run_id)
    return frozenset(
        shard.index
        for shard in observation.shards
        if shard.index in known and known[shard.index].publication == shard.output.publication
    )


def is_gathered(run: Run, observation: Observation) -> bool:
    """Return whether the database has every shard as it is published now.

    False if the database cannot be read at this moment; `gather` reports why.
    """
    database = Path(run.manifest.database)
    if not all(shard.output.verified for shard in observation.shards) or not database.exists():
        return False
    try:
        with duckdb_file.open_database(database, read_only=True, patience=_NO_PATIENCE) as labels:
            known = history.gathered_shards(labels, run.run_id)
            return not find_not_gathered(known, [shard.output for shard in observation.shards])
    except (RunError, OSError, duckdb.Error):
        return False


def find_not_gathered(
    known: Mapping[int, GatheredShard], published: Sequence[OutputCheck]
) -> list[int]:
    """Return the shards with an output that the database does not have.

    Args:
        known: what the database has, by the shard's index.
        published: the shards' outputs, in the order of the shards.
    """
    return [
        index
        for index, check in enumerate(published)
        if check.publication
        and (index not in known or known[index].publication != check.publication)
    ]
