"""Describe what happened to one post: its row, and its run, shard and attempts."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import duckdb

from hpc.config.run_config import Config
from hpc.run.causes import attempt_title, why_ended
from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.run import Run
from hpc.run.run_state import RunStatus
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import Source
from pipeline.database import duckdb_file, label_tables
from pipeline.database.compare_outputs import Examine, ShardFile, find_uri
from pipeline.errors import InputError, RunError
from pipeline.model import UNSENT
from pipeline.sql import literal, quoted
from pipeline.terminal import one_line

SHOWN_TEXT = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class PostFiles:
    """The files that may hold a post, and how to read them."""

    inputs: Sequence[ShardFile]
    """The inputs of all shards of a name's runs."""
    examine: Examine
    """Reads one file, and checks it."""
    look: Callable[[Run], RunStatus]
    """Observes and judges a run, with the attempts of shards that are done."""
    problems: Sequence[str] = ()
    """What is wrong with runs that cannot be read."""


def describe_post(
    config: Config, source: Source, runs: list[Run], uri: str, files: PostFiles
) -> tuple[int, list[str]]:
    """Return 0 and what the post's row says, or 1 and why there is no row.

    Args:
        config: whose labels are meant.
        source: the backlog.
        runs: the runs of the configuration's name.
        uri: of the post.
        files: the files that may hold it.
    """
    in_backlog, found = _find_in_backlog(source, uri)
    has_row, row = _find_row(config, runs, uri)
    lines = [found, row]
    holders, problems = _find_shards(files, uri)
    problems += files.problems
    by_id = {run.run_id: run for run in runs}
    for file in holders:
        lines += _describe_holder(by_id[file.run_id], file.index, files.look)
    if problems and not has_row:
        lines.append("files and runs that cannot be read may hold it:")
    lines += problems
    if not has_row and not holders and not problems:
        lines.append(
            f"it is in no run: hpc submit --config {config.to_paste} labels it. If it is older "
            f"than the watermark: hpc submit --config {config.to_paste} --backfill"
            if in_backlog
            else "it is in no run: hpc submit labels posts of the backlog only"
        )
    return (0 if has_row else 1), lines


def _find_in_backlog(source: Source, uri: str) -> tuple[bool, str]:
    with duckdb.connect() as connection, closing(Scan(connection, source)) as scan:
        rows = scan.read(
            lambda relation: (
                f"SELECT text, raw_timestamp, reason FROM ({relation}) WHERE uri = {literal(uri)}"
            )
        )
    if not rows:
        return False, f"{one_line(uri)} is not in {source}"
    text, timestamp, reason = rows[0]
    content = "without text" if text is None else f"'{one_line(text, SHOWN_TEXT)}'"
    why = f" ({reason})" if reason else ""
    copies = f", {len(rows)} times" if len(rows) > 1 else ""
    when = f"preprocessed at {timestamp}" if timestamp else "without a time"
    return True, f"{one_line(uri)} is in {source}{copies}, {when}: {content}{why}"


def _find_row(config: Config, runs: Sequence[Run], uri: str) -> tuple[bool, str]:
    database, table = config.storage.database, label_tables.labels_table(config.name)
    if not duckdb_file.exists(database):
        return False, f"there is no database {database} yet"
    with duckdb_file.open_database(database, read_only=True) as labels:
        if not label_tables.count(labels, config.name):
            return False, f"table {table} has no rows yet"
        rows = labels.execute(
            "SELECT was_successfully_labeled, reason, copied_from, label_timestamp, model, run_id, "
            f"shard_index, attempt FROM {label_tables.with_copied_from(labels, quoted(table))} "
            "WHERE uri = ?",
            [uri],
        ).fetchall()
    if not rows:
        return False, f"table {table} has no row for it"
    labeled, reason, origin, labeled_at, model, run_id, shard, number = rows[0]
    what = "a label" if labeled else f"no label, because of {reason}"
    # The column `model` names what labels the run, which was not asked about every post of it.
    if reason in UNSENT:
        how = f"it was never sent; its row is from {labeled_at:%Y-%m-%d %H:%M:%S} UTC"
    elif origin is not None:
        how = f"copied from {one_line(origin)}, which has the same text"
    else:
        how = f"given by {model} at {labeled_at:%Y-%m-%d %H:%M:%S} UTC"
    is_adopted = any(run.run_id == run_id and run.manifest.is_labeled_elsewhere for run in runs)
    source = f"{'adoption' if is_adopted else 'submission'} {number}"
    return True, (f"table {table} has {what}: {how} (run {run_id}, shard {shard}, {source})")


def _find_shards(files: PostFiles, uri: str) -> tuple[list[ShardFile], list[str]]:
    """Return the shards that have the post, and what is wrong with files that cannot be read."""
    with duckdb.connect() as connection:
        holders, unread = find_uri(connection, files.inputs, uri)
    problems = []
    for file in unread:
        table, problem = files.examine(file)
        if table is None:
            problems.append(problem)
        elif uri in table["uri"].to_pylist():
            holders.append(file)
    return holders, problems


def _describe_holder(run: Run, index: int, look: Callable[[Run], RunStatus]) -> list[str]:
    try:
        status = look(run)
    except (InputError, RunError, OSError) as error:
        return [f"run {run.run_id} has it in shard {index}; the run cannot be read: {error}"]
    return _describe_shard(status, index)


def _describe_shard(status: RunStatus, index: int) -> list[str]:
    judgement, facts = status.judgements[index], status.observation.shards[index]
    cause = f" ({judgement.cause})" if judgement.cause else ""
    lines = [f"run {status.run.run_id} has it in shard {index}, which is {judgement.state}{cause}"]
    if judgement.message:
        lines.append(f"  {judgement.message}")
    for place, attempt in enumerate(facts.attempts, start=1):
        task = f"task {attempt.task}, " if attempt.task else ""
        lines.append(
            f"  {attempt_title(place, attempt)}: {task}submitted "
            f"{attempt.submitted_at:%Y-%m-%d %H:%M:%S} UTC: "
            f"{_describe_end(attempt, published=facts.output.verified)}"
        )
    return lines


def _describe_end(attempt: Attempt, *, published: bool) -> str:
    if attempt.unread_words and not published:
        return attempt.unread_words.problem
    if attempt.phase is Phase.ENDED and not published:
        return why_ended(attempt)[1]
    return attempt.record.slurm_state if attempt.record else "no record"
