"""What a name has behind it: the posts that a new run leaves out, and since when it looks for
others."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from hpc import rundir
from hpc.model import Run
from pipeline import ledger, manifest, store
from pipeline.config import Config
from pipeline.sql import literal


@dataclass(frozen=True, slots=True)
class Taken:
    """`uris` is SQL that yields the posts that have a row, or are in a shard that is not gathered
    yet; None where there are none. `since` is the watermark (UTC); None: from the beginning."""

    uris: str | None
    since: datetime | None


def taken(config: Config, connection: duckdb.DuckDBPyConnection) -> Taken:
    """Looks into the run root and the database, which stays attached to the planning connection."""
    database, parts = config.storage.database, []
    gathered: dict[str, set[int]] = {}
    since = None
    named = [run for run in _runs(config.storage.run_root) if run.manifest.name == config.name]
    if database.exists():
        with store.opened(database, read_only=True) as labels:
            gathered = {run.run_id: set(ledger.gathered(labels, run.run_id)) for run in named}
            since = ledger.watermark(labels, config.name, _first_waiting(named, gathered))
        store.attach(connection, database, "labelled")
        labelled = ledger.labelled_uris(connection, config.name, "labelled")
        parts += [labelled] if labelled else []
    waiting = [
        str(manifest.shard_path(run.folder, index))
        for run in named
        for index in _waiting(run, gathered)
    ]
    if waiting:
        paths = ", ".join(literal(path) for path in waiting)
        parts.append(f"SELECT uri FROM read_parquet([{paths}])")
    return Taken(" UNION ALL ".join(parts) or None, since)


def _runs(root: Path) -> list[Run]:
    return [rundir.load(folder) for folder in rundir.all_runs(root)]


def _waiting(run: Run, gathered: dict[str, set[int]]) -> list[int]:
    have = gathered.get(run.run_id, set())
    return [shard.index for shard in run.manifest.shards if shard.index not in have]


def _first_waiting(named: list[Run], gathered: dict[str, set[int]]) -> datetime | None:
    """The time of the oldest post in a shard that is not gathered. The database may not have heard
    of that run yet, and its own watermark be too late."""
    return min(
        (
            datetime.fromisoformat(run.manifest.shards[index].min_preprocessing_timestamp)
            for run in named
            for index in _waiting(run, gathered)
        ),
        default=None,
    )
