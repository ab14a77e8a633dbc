"""Compare the audit of a run with DuckDB's bare anti-joins over the same files.

    python -m benchmarks.audit [--shards 10000] [--published 9000] [--attempts 3] [--posts 10]
                               [--rounds 3] [--keep FOLDER] [--results FILE.json]

Plan a run of the local executor in a temporary folder. Its last attempts have published the first
shards, which are gathered, and failed at the others. Then audit the backlog, in turns with one
process that only joins: backlog, labels, outputs and the inputs of the failed shards, by uri. With
--keep, the folder is made once and used again.

Ten posts a shard measure what each file costs, and 1,000 posts or more what each post costs.
"""

import argparse
import tempfile
from pathlib import Path

import duckdb

from benchmarks import many_shards
from benchmarks.paired import child, compare, in_turns, python, report
from benchmarks.valence_run import PLAN, publish
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Run
from hpc.runs import find_runs
from pipeline.run_files import manifest

CONFIG = """\
name: bench
backlog: {{source: {folder}/posts.parquet}}
sharding: {{shards: {shards}}}
classifier: {{type: valence}}
cluster: {{executor: local, grace_seconds: 0}}
storage: {{run_root: {folder}/runs, database: {folder}/labels.duckdb}}
"""
BARE = """
import sys
import duckdb
folder, run, published, shards = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
connection = duckdb.connect()
connection.execute(f"SET threads = 2; SET memory_limit = '1GB'; SET temp_directory = '{folder}'")
connection.execute(f"ATTACH '{folder}/labels.duckdb' AS labels (READ_ONLY)")
backlog, outputs = f"'{folder}/posts.parquet'", f"'{run}/outputs/*.parquet'"
failed = [f"{run}/shards/{index:05d}.parquet" for index in range(published, shards)]
for query in (
    f"{backlog} ANTI JOIN labels.labels_bench USING (uri) "
    f"ANTI JOIN read_parquet({failed}) USING (uri)",
    f"{outputs} ANTI JOIN labels.labels_bench USING (uri)",
    f"labels.labels_bench ANTI JOIN {backlog} USING (uri)",
):
    assert connection.execute(f"SELECT count(*) FROM {query}").fetchall() == [(0,)]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--published", type=int, default=9_000)
    parser.add_argument("--attempts", type=int, default=3)
    parser.add_argument("--posts", type=int, default=10, help="of a shard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        folder = (options.keep or Path(name)).absolute()
        if not (folder / "labels.duckdb").exists():
            lay_out(folder, options)
        run = find_runs.find(folder / "runs", None)
        bare = python("-c", BARE, folder, run.folder, options.published, options.shards)
        audit = python("-m", "hpc", "audit", "--config", folder / "bench.yaml")
        contestants = {
            "bare start": child(*python("-c", "import duckdb")),
            "bare anti-joins": child(*bare),
            # The posts of failed shards need a person.
            "audit": child(*audit, exit_codes=frozenset({0, FAILED})),
        }
        took = in_turns(contestants, options.rounds)
    report(
        f"{options.shards:,} shards of {options.posts:,} posts, {options.attempts} attempts each, "
        f"{options.published:,} gathered, the others failed",
        [
            compare("bare anti-joins", "bare start", took),
            compare("audit", "bare anti-joins", took, "1.5 with many posts a shard"),
        ],
        options.results,
    )


def lay_out(folder: Path, options: argparse.Namespace) -> None:
    """Plan a run, let its attempts end, publish its first shards, and gather them."""
    folder.mkdir(parents=True, exist_ok=True)
    duckdb.connect().execute(
        "COPY (SELECT format('at://did:plc:{:024d}/app.bsky.feed.post/{:013d}', i, i) AS uri, "
        "'post ' || i || ' ' || repeat(md5(i::VARCHAR), 3) AS text, "
        "strftime(TIMESTAMP '2024-05-31' + to_seconds(i), '%Y-%m-%d-%H:%M:%S') "
        f"AS preprocessing_timestamp FROM range({options.shards * options.posts}) t(i)) "
        f"TO '{folder}/posts.parquet'"
    )
    config = folder / "bench.yaml"
    config.write_text(CONFIG.format(folder=folder, shards=options.shards))
    child(*python("-c", PLAN, config, "new"))()
    run = find_runs.find(folder / "runs", None)
    leave_attempts(run, options.attempts, options.published)
    publish(run, options.published)
    # Some shards have failed, which gather says with its exit code.
    child(*python("-m", "hpc.gather", run.folder), exit_codes=frozenset({0, FAILED}))()


def leave_attempts(run: Run, attempts: int, published: int) -> None:
    """Write what the tasks of all attempts leave, except their outputs."""
    submissions = many_shards.submit(run, attempts)
    first_of_last = len(submissions) - many_shards.arrays(run)
    for place, submission in enumerate(submissions):
        manifest.log_path(run.folder, submission.number).mkdir(parents=True)
        for index in submission.plan.indices:
            shard = submission.plan.offset + index
            end = many_shards.end_of(shard, is_last=False)
            if place >= first_of_last:
                end = "COMPLETED" if shard < published else "FAILED"
            many_shards.leave_traces(run, submission, index, end)


if __name__ == "__main__":
    main()
