"""Read the posts of shards that are not gathered: a new run must leave them out.

If a shard's file cannot be read, its posts are those of its output. Without an output, its posts
are unknown, and a new run could pay for them a second time.
"""

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from hpc.display.next_step import command
from hpc.run.model.run import Run
from pipeline.errors import DamagedError, RunError, UnreadableError
from pipeline.run_files import output, read_parquet
from pipeline.run_files.manifest import shard_path
from pipeline.sql import clean_up_with, fetch_number, parquet_rows, raise_lack_of_space
from pipeline.text import counted

TABLE = "waiting_posts"


def stage(connection: duckdb.DuckDBPyConnection, shards: Sequence[tuple[Run, int]]) -> str:
    """Copy the uris of these shards into a table, and return SQL that yields them.

    From then on, no file of a run is read, so a fault in a run is never reported as one of the
    source.

    Raises:
        RunError: the posts of a shard are not known.
        OSError: the disk is full.
    """
    paths = [shard_path(run.folder, index) for run, index in shards]
    posts = sum(run.manifest.shards[index].posts for run, index in shards)
    try:
        connection.execute(f"CREATE TABLE {TABLE} AS SELECT uri FROM {parquet_rows(paths)}")
        is_whole = fetch_number(connection, f"SELECT count(*) FROM {TABLE}") == posts
    except duckdb.Error as error:
        raise_lack_of_space(error, "planning")
        is_whole = False
    if not is_whole:
        _stage_one_by_one(connection, shards)
    return f"SELECT uri FROM {TABLE}"


def _stage_one_by_one(
    connection: duckdb.DuckDBPyConnection, shards: Sequence[tuple[Run, int]]
) -> None:
    connection.execute(f"CREATE OR REPLACE TABLE {TABLE} (uri VARCHAR)")
    problems: list[tuple[Run, int, str]] = []
    for run, index in shards:
        uris, problem = _read_uris(run, index)
        if uris is None:
            problems.append((run, index, problem))
            continue
        connection.register("uris", uris)
        with clean_up_with(lambda: connection.unregister("uris")):
            try:
                connection.execute(f"INSERT INTO {TABLE} SELECT uri FROM uris")
            except duckdb.Error as error:
                raise_lack_of_space(error, "planning")
                raise
    if problems:
        raise RunError(_describe(problems))


def _read_uris(run: Run, index: int) -> tuple[pa.Table | None, str]:
    """Return a shard's uris, or None and what is wrong with its file."""
    path, posts = shard_path(run.folder, index), run.manifest.shards[index].posts
    try:
        uris = read_parquet.read_table(path, columns=["uri"])
        if uris.num_rows == posts:
            return uris, ""
        problem = f"{path} holds {counted(uris.num_rows, 'post')} instead of {posts:,}"
    except FileNotFoundError:
        problem = f"{path} is missing"
    except (UnreadableError, DamagedError) as error:
        problem = str(error)
    check, answers = output.read(run.folder, run.manifest, index)
    return (answers.select(["uri"]) if check.verified and answers is not None else None), problem


def _describe(problems: Sequence[tuple[Run, int, str]]) -> str:
    run, _, problem = problems[0]
    posts = sum(each.manifest.shards[index].posts for each, index, _ in problems)
    more = f" (and {counted(len(problems) - 1, 'more file')})" if problems[1:] else ""
    return (
        f"{problem}{more}. Nothing was submitted, because it is unknown which "
        f"{counted(posts, 'post')} of run {run.run_id} are in it, and a new run could pay for them "
        "again. Make the file readable or restore it from a backup, and submit again. If it is "
        f"lost for good, finish the run's other shards ({command('supervise', run)}), then move "
        f"{run.folder} out of {run.folder.parent}. The next submit labels the posts without a label"
    )
