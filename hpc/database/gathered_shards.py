"""Tell which shards of a run the database has as they are published now."""

from pathlib import Path

from hpc.run.model.run import Run
from hpc.run.model.shards import Observation
from pipeline.database import duckdb_file, history


def read_gathered_shards(run: Run, observation: Observation) -> frozenset[int]:
    """Return the indices of the shards that were gathered and have not been published again since.

    Raises:
        BusyError: another process has the database open.
    """
    database = Path(run.manifest.database)
    if not duckdb_file.exists(database):
        return frozenset()
    with duckdb_file.opened(database, read_only=True) as labels:
        known = history.gathered_shards(labels, run.run_id)
    return frozenset(
        shard.index
        for shard in observation.shards
        if shard.index in known and known[shard.index].publication == shard.output.publication
    )
