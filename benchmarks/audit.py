"""Measure the audit of a run with many small outputs, against DuckDB's bare reading of the files.

    python benchmarks/audit.py [--shards 10000] [--published 9000] [--posts 10] [--rounds 3]
                               [--keep FOLDER]

Plan a run of the local executor in a temporary folder, publish and gather some of its shards, and
audit the backlog: seconds, CPU seconds and peak memory. The reference counts the distinct uris in
the same outputs. With --keep, the folder is made once and used again.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from hpc.runs import find_runs
from pipeline.classifiers.base import TaskShare, create
from pipeline.run_files import manifest, output
from pipeline.run_files.checkpoint import part_schema
from pipeline.run_files.output import ShardLabels

CONFIG = """\
name: bench
backlog: {{source: {folder}/posts.parquet}}
sharding: {{shards: {shards}}}
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
BARE = """
import sys, duckdb
connection = duckdb.connect()
connection.execute("SET threads = 2; SET memory_limit = '1GB'")
connection.execute(f"SELECT count(DISTINCT uri) FROM '{sys.argv[1]}/outputs/*.parquet'").fetchall()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--published", type=int, default=9_000)
    parser.add_argument("--posts", type=int, default=10, help="of a shard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        folder = (options.keep or Path(name)).absolute()
        if not (folder / "labels.duckdb").exists():
            lay_out(folder, options.shards, options.published, options.posts)
        run = find_runs.find(folder / "runs", None)
        audit = ("-m", "hpc.audit", "--config", str(folder / "bench.yaml"))
        for what, command in {"bare": ("-c", BARE, str(run.folder)), "audit": audit}.items():
            measured = [timed(*command) for _ in range(options.rounds)]
            seconds, cpu, peak = (
                statistics.median(column) for column in zip(*measured, strict=True)
            )
            print(f"{what:<6} {seconds:7.2f} s, {cpu:7.2f} s of CPU, {peak:5.0f} MB")


def lay_out(folder: Path, shards: int, published: int, posts: int) -> None:
    """Plan a run, publish its first shards and gather them."""
    folder.mkdir(parents=True, exist_ok=True)
    duckdb.connect().execute(
        "COPY (SELECT format('at://did:plc:{:024d}/app.bsky.feed.post/{:013d}', i, i) AS uri, "
        "'post ' || i || ' ' || repeat(md5(i::VARCHAR), 3) AS text, "
        "strftime(TIMESTAMP '2024-05-31' + to_seconds(i), '%Y-%m-%d-%H:%M:%S') "
        f"AS preprocessing_timestamp FROM range({shards * posts}) t(i)) "
        f"TO '{folder}/posts.parquet'"
    )
    config = folder / "bench.yaml"
    config.write_text(CONFIG.format(folder=folder, shards=shards))
    subprocess.run([sys.executable, "-c", PLAN, str(config)], check=True)
    run = find_runs.find(folder / "runs", None)
    classifier = create(run.manifest.classifier, TaskShare())
    labeled_at = pa.scalar(datetime(2024, 6, 1), pa.timestamp("us"))
    for index in range(published):
        table = pq.read_table(manifest.shard_path(run.folder, index), partitioning=None)
        count = table.num_rows
        answers = [table["uri"], pa.repeat(True, count), pa.nulls(count, pa.string())]
        answers += [pa.repeat(labeled_at, count), pa.repeat(0.5, count)]
        answers.append(pa.repeat("positive", count))
        labels = ShardLabels(
            posts=table,
            answers=pa.table(answers, schema=part_schema(classifier.columns)),
            columns=classifier.columns,
            model=classifier.model,
            attempt=1,
        )
        output.publish(run.folder, run.manifest, index, labels)
    subprocess.run([sys.executable, "-m", "hpc.gather", str(run.folder)], check=False)


def timed(*arguments: str) -> tuple[float, float, float]:
    """Return seconds, seconds of CPU, and peak memory in MB."""
    start = time.perf_counter()
    # The audit of a run that is not complete exits with 1 or 3; a traceback shows itself.
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
