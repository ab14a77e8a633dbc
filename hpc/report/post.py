"""Why one post has no label, in words: which run, which shard, which attempts, what state."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb

from hpc.run.causes import why_ended
from hpc.run.model import Phase, Run
from hpc.run.run_config import Config
from hpc.run.run_state import RunStatus
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import Source
from pipeline.database import duckdb_file, label_tables
from pipeline.run_files.manifest import shard_path
from pipeline.sql import file_list, quoted


def describe_post(
    settings: Config, source: Source, runs: list[Run], uri: str, look: Callable[[Run], RunStatus]
) -> tuple[int, list[str]]:
    """Return 0 and what the post's row says, or 1 and why there is no row.

    Args:
        look: observes and judges a run, with the attempts of shards that are done.
    """
    is_there, lines = _in_backlog(source, uri)
    row, found = _row(settings, uri)
    lines += found
    for run, index in _shards_of(runs, uri):
        lines += _in_shard(look(run), index)
    if not row and len(lines) == 2:
        submit = "python -m hpc.submit, with --backfill if it is old"
        missing = "submit takes what is in the backlog"
        lines.append(f"no run has planned it: {submit if is_there else missing}")
    return (0 if row else 1), lines


def _in_backlog(source: Source, uri: str) -> tuple[bool, list[str]]:
    with duckdb.connect() as connection, closing(Scan(connection, source)) as scan:
        rows = connection.execute(
            f"SELECT text, raw_timestamp FROM ({scan.relation()}) WHERE uri = ?", [uri]
        ).fetchall()
    if not rows:
        return False, [f"{uri} is not in {source}"]
    copies = f", {len(rows)} copies" if len(rows) > 1 else ""
    text = str(rows[0][0])[:80]
    return True, [f"{uri} is in {source}{copies}, preprocessed {rows[0][1]}: {text!r}"]


def _row(settings: Config, uri: str) -> tuple[bool, list[str]]:
    database, table = settings.storage.database, label_tables.labels_table(settings.name)
    if not database.exists():
        return False, [f"there is no database {database} yet"]
    with duckdb_file.opened(database, read_only=True) as labels:
        if not label_tables.count(labels, settings.name):
            return False, [f"table {table} has no rows yet"]
        rows = labels.execute(
            "SELECT was_successfully_labeled, reason, label_timestamp, run_id, shard_index, "
            f"attempt, model FROM {quoted(table)} WHERE uri = ?",
            [uri],
        ).fetchall()
    if not rows:
        return False, [f"table {table} has no row of it"]
    ok, reason, at, run_id, shard, attempt, model = rows[0]
    what = "a label" if ok else f"no label, because of {reason}"
    return True, [
        f"table {table} has {what}, of {at:%Y-%m-%d %H:%M:%S} UTC by {model} "
        f"(run {run_id}, shard {shard}, attempt {attempt})"
    ]


def _shards_of(runs: list[Run], uri: str) -> list[tuple[Run, int]]:
    found = []
    with duckdb.connect() as connection:
        for run in runs:
            paths = {shard_path(run.folder, s.index): s.index for s in run.manifest.shards}
            rows = connection.execute(
                f"SELECT filename FROM read_parquet({file_list(paths)}, filename=true) "
                "WHERE uri = ?",
                [uri],
            ).fetchall()
            found += [(run, paths[Path(row[0])]) for row in rows]
    return found


def _in_shard(now: RunStatus, index: int) -> list[str]:
    judged, facts = now.judgements[index], now.observation.shards[index]
    cause = f" ({judged.cause})" if judged.cause else ""
    lines = [f"run {now.run.run_id} has it in shard {index}, which is {judged.state}{cause}"]
    lines += [f"  {judged.message}"] if judged.message else []
    for attempt in facts.attempts:
        job = f"task {attempt.task}, " if attempt.task else ""
        said = "no record of it"
        if attempt.phase is Phase.ENDED and not facts.output.verified:
            said = why_ended(attempt)[1]
        elif attempt.record:
            said = attempt.record.slurm_state
        when = f"{attempt.submitted_at:%Y-%m-%d %H:%M:%S}"
        lines.append(f"  attempt {attempt.number}: {job}submitted {when} UTC: {said}")
    return lines
