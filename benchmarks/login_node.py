"""Compare the login node's work for a run with DuckDB's bare statements on the same data.

    python benchmarks/login_node.py [--posts 1000000] [--rows-per-shard 10000] [--rounds 3]

Plan a Parquet backlog into shards (reference: a bare, sorted COPY to one Parquet file), judge the
run (`status`), and gather it (reference: a bare INSERT … SELECT of the same output files). Print
the median of the rounds and the ratios. All files are in a temporary folder.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from hpc.run.model import Run
from hpc.runs import find_runs
from pipeline.classifiers.base import TaskShare, create
from pipeline.run_files import manifest, output
from pipeline.run_files.checkpoint import part_schema
from pipeline.run_files.output import ShardLabels

CONFIG = """\
name: bench
backlog: {{source: {source}}}
sharding: {{rows_per_shard: {rows}}}
classifier: {{type: valence}}
cluster: {{executor: local}}
storage: {{run_root: {folder}/runs, database: {folder}/labels.duckdb}}
"""
# Plans and creates a run, and submits nothing.
PLAN = """
import sys
from pathlib import Path
from hpc.planning.create_run import create_run
from hpc.planning.run_spec import Selection, validate
from hpc.config import run_config
config = run_config.load(Path(sys.argv[1]))
create_run(validate(config), Selection(), (Path.cwd(),), "")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--rows-per-shard", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
            for what, seconds in one_round(
                Path(name), options.posts, options.rows_per_shard
            ).items():
                rows.setdefault(what, []).append(seconds)
    median = {what: statistics.median(times) for what, times in rows.items()}
    print(
        f"{options.posts:,} posts in shards of {options.rows_per_shard:,}, {options.rounds} rounds"
    )
    for what, times in rows.items():
        print(f"  {what:<22} {median[what]:7.2f} s   ({min(times):.2f} to {max(times):.2f})")
    print(f"  planning / bare COPY   {median['plan'] / median['bare COPY']:7.1f}")
    print(f"  gathering / bare INSERT{median['gather'] / median['bare INSERT']:7.1f}")


def one_round(folder: Path, posts: int, rows: int) -> dict[str, float]:
    """Return the seconds of each step by its name."""
    source = folder / "posts.parquet"
    duckdb.connect().execute(
        "COPY (SELECT format('at://did:plc:{:024d}/app.bsky.feed.post/{:013d}', i, i) AS uri, "
        "'post ' || i || ' ' || repeat(md5(i::VARCHAR), 3) AS text, "
        "strftime(TIMESTAMP '2024-05-31' + to_seconds(hash(i) % 10000000), '%Y-%m-%d-%H:%M:%S') "
        f"AS preprocessing_timestamp FROM range({posts}) t(i)) TO '{source}'"
    )
    config = folder / "bench.yaml"
    config.write_text(CONFIG.format(source=source, rows=rows, folder=folder))
    took = {"bare COPY": seconds(lambda: bare_copy(source, folder / "sorted.parquet"))}
    took["plan"] = seconds(lambda: process("-c", PLAN, str(config)))
    run = find_runs.find(folder / "runs", None)
    took["status, nothing done"] = seconds(lambda: verb("status", run))
    for shard in run.manifest.shards:
        publish(run, shard.index)
    took["status, first look"] = seconds(lambda: verb("status", run))
    took["status, again"] = seconds(lambda: verb("status", run))
    took["bare INSERT"] = seconds(lambda: bare_insert(run, folder / "bare.duckdb"))
    took["gather"] = seconds(lambda: verb("gather", run))
    took["gather, nothing new"] = seconds(lambda: verb("gather", run))
    return took


def seconds(act: Callable[[], object]) -> float:
    before = time.perf_counter()
    act()
    return time.perf_counter() - before


def process(*arguments: str) -> None:
    # `status` of a run that is not complete exits with 1 or 3; a traceback is 1 and shows itself.
    subprocess.run([sys.executable, *arguments], check=False, stdout=subprocess.DEVNULL)


def verb(name: str, run: Run) -> None:
    process("-m", f"hpc.{name}", str(run.folder))


def bare(database: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(database)
    connection.execute("SET threads = 2; SET memory_limit = '1GB'")
    return connection


def bare_copy(source: Path, target: Path) -> None:
    bare(":memory:").execute(
        "COPY (SELECT uri, text, strptime(preprocessing_timestamp, '%Y-%m-%d-%H:%M:%S') AS moment "
        f"FROM '{source}' ORDER BY moment, uri) TO '{target}' (COMPRESSION zstd)"
    )


def bare_insert(run: Run, target: Path) -> None:
    connection = bare(str(target))
    connection.execute(f"CREATE TABLE labels AS FROM '{run.folder}/outputs/*.parquet'")
    connection.close()


def publish(run: Run, index: int) -> None:
    """Publish an output as a task does, with the same label for every post."""
    classifier = create(run.manifest.classifier, TaskShare())
    posts = pq.read_table(manifest.shard_path(run.folder, index), partitioning=None)
    count = posts.num_rows
    labeled_at = pa.scalar(datetime(2024, 6, 1), pa.timestamp("us"))
    answers = [posts["uri"], pa.repeat(True, count), pa.nulls(count, pa.string())]
    answers += [pa.repeat(labeled_at, count), pa.repeat(0.5, count), pa.repeat("positive", count)]
    output.publish(
        run.folder,
        run.manifest,
        index,
        ShardLabels(
            posts=posts,
            answers=pa.table(answers, schema=part_schema(classifier.columns)),
            columns=classifier.columns,
            model=classifier.model,
            attempt=1,
        ),
    )


if __name__ == "__main__":
    main()
