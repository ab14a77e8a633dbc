"""Describe what happened to one post: its row, and its run, shard and attempts."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb

from hpc.config.run_config import Config
from hpc.run.causes import why_ended
from hpc.run.model import Attempt, Phase, Run
from hpc.run.run_state import RunStatus
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import Source
from pipeline.database import duckdb_file, label_tables
from pipeline.run_files.manifest import shard_path
from pipeline.sql import file_list, quoted
from pipeline.terminal import one_line

SHOWN_TEXT = 80


def describe_post(
    config: Config, source: Source, runs: list[Run], uri: str, look: Callable[[Run], RunStatus]
) -> tuple[int, list[str]]:
    """Return 0 and what the post's row says, or 1 and why there is no row.

    Args:
        config: whose labels are meant.
        source: the backlog.
        runs: the runs of the configuration's name.
        uri: of the post.
        look: observes and judges a run, with the attempts of shards that are done.
    """
    in_backlog, found = _find_in_backlog(source, uri)
    has_row, row = _find_row(config, uri)
    lines = [found, row]
    shards = _find_shards(runs, uri)
    for run, index in shards:
        lines += _describe_shard(look(run), index)
    if not has_row and not shards:
        lines.append(
            "it is in no run: hpc submit labels it, with --backfill if it is older than the "
            "watermark"
            if in_backlog
            else "it is in no run: hpc submit labels posts of the backlog only"
        )
    return (0 if has_row else 1), lines


def _find_in_backlog(source: Source, uri: str) -> tuple[bool, str]:
    with duckdb.connect() as connection, closing(Scan(connection, source)) as scan:
        rows = connection.execute(
            f"SELECT text, raw_timestamp FROM ({scan.relation()}) WHERE uri = ?", [uri]
        ).fetchall()
    if not rows:
        return False, f"{uri} is not in {source}"
    text, timestamp = rows[0]
    copies = f", {len(rows)} times" if len(rows) > 1 else ""
    return True, (
        f"{uri} is in {source}{copies}, preprocessed {timestamp}: "
        f"'{one_line(str(text), SHOWN_TEXT)}'"
    )


def _find_row(config: Config, uri: str) -> tuple[bool, str]:
    database, table = config.storage.database, label_tables.labels_table(config.name)
    if not database.exists():
        return False, f"there is no database {database} yet"
    with duckdb_file.opened(database, read_only=True) as labels:
        if not label_tables.count(labels, config.name):
            return False, f"table {table} has no rows yet"
        rows = labels.execute(
            "SELECT was_successfully_labeled, reason, label_timestamp, run_id, shard_index, "
            f"attempt, model FROM {quoted(table)} WHERE uri = ?",
            [uri],
        ).fetchall()
    if not rows:
        return False, f"table {table} has no row for it"
    labeled, reason, labeled_at, run_id, shard, attempt, model = rows[0]
    what = "a label" if labeled else f"no label, because of {reason},"
    return True, (
        f"table {table} has {what} from {labeled_at:%Y-%m-%d %H:%M:%S} UTC by {model} "
        f"(run {run_id}, shard {shard}, attempt {attempt})"
    )


def _find_shards(runs: list[Run], uri: str) -> list[tuple[Run, int]]:
    shards = []
    with duckdb.connect() as connection:
        for run in runs:
            indices = {
                shard_path(run.folder, shard.index): shard.index for shard in run.manifest.shards
            }
            rows = connection.execute(
                f"SELECT filename FROM read_parquet({file_list(indices)}, filename=true) "
                "WHERE uri = ?",
                [uri],
            ).fetchall()
            shards += [(run, indices[Path(filename)]) for (filename,) in rows]
    return shards


def _describe_shard(status: RunStatus, index: int) -> list[str]:
    judgement, facts = status.judgements[index], status.observation.shards[index]
    cause = f" ({judgement.cause})" if judgement.cause else ""
    lines = [f"run {status.run.run_id} has it in shard {index}, which is {judgement.state}{cause}"]
    if judgement.message:
        lines.append(f"  {judgement.message}")
    for attempt in facts.attempts:
        task = f"task {attempt.task}, " if attempt.task else ""
        lines.append(
            f"  attempt {attempt.number}: {task}submitted "
            f"{attempt.submitted_at:%Y-%m-%d %H:%M:%S} UTC: "
            f"{_describe_end(attempt, published=facts.output.verified)}"
        )
    return lines


def _describe_end(attempt: Attempt, *, published: bool) -> str:
    if attempt.phase is Phase.ENDED and not published:
        return why_ended(attempt)[1]
    return attempt.record.slurm_state if attempt.record else "no record"
