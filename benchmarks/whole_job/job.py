"""Define one job that a contestant does: its files, its cluster, and how it ends."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import duckdb

from benchmarks.paired import Took, python, run_child
from benchmarks.whole_job.scenarios import Scenario
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster
from tests.slurm.private_cluster.programs import environment

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("bare_script.py")
PROMPT = "Is the post civic?"
MEMORY_MB = 500
MINUTES = 30
TABLE = "labels"
LOAD = "import sys, duckdb; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"
NOTHING_MORE: Mapping[str, str] = MappingProxyType({})
_LOOK_S = 0.05
_QUEUE_LOOK_S = 0.5
_PATIENCE_S = 600.0
_MOST_RESUBMISSIONS = 3
# A job whose dependency has failed stays until somebody cancels it.
_NEVER_STARTS = "DependencyNeverSatisfied"


@dataclass(frozen=True, slots=True)
class Labels:
    """Where a contestant has put all labels."""

    table: str
    in_database_at: float
    """When the last of them were there, in seconds since 1970."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A folder with the posts, where a contestant works, and what it works with."""

    folder: Path
    scenario: Scenario
    cluster: SlurmCluster
    url: str
    """Of the chat service; its API is below /v1."""

    @property
    def source(self) -> Path:
        """Return the file with all posts, as JSON lines."""
        return self.folder / "posts.jsonl"

    @property
    def pieces(self) -> Path:
        """Return the folder with the same posts in a file for each shard, named by its index."""
        return self.folder / "posts"

    @property
    def answers(self) -> Path:
        """Return the folder for the answers of tasks."""
        return self.folder / "answers"

    @property
    def database(self) -> Path:
        """Return the DuckDB file that has all labels in the end."""
        return self.folder / "labels.duckdb"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the cluster's clients."""
        return environment() | self.cluster.env | {"PYTHONPATH": str(ROOT)}

    def write_posts(self) -> None:
        """Write the posts, in one file and in pieces."""
        for folder in (self.pieces, self.answers):
            folder.mkdir(parents=True)
        posts.json_lines(self.source, self.scenario.posts)
        (self.folder / "prompt.txt").write_text(PROMPT)
        lines = self.source.read_text().splitlines(keepends=True)
        size = -(-len(lines) // self.scenario.shards)
        for index in range(self.scenario.shards):
            piece = lines[index * size : (index + 1) * size]
            (self.pieces / f"{index:05d}.jsonl").write_text("".join(piece))

    def run(self, command: Sequence[object], more: Mapping[str, str] = NOTHING_MORE) -> Took:
        """Run a command on the login node, in the job's folder, with some more variables."""
        words = [str(word) for word in command]
        return run_child(words, {**self.environment, **more}, folder=self.folder)

    def await_files(self, files: Iterable[Path], resubmit: Callable[[], object]) -> None:
        """Wait until all files exist; call `resubmit` when no task is left before that.

        Raises:
            SystemExit: the job takes longer than any should.
        """
        end, next_look, resubmissions = time.monotonic() + _PATIENCE_S, 0.0, 0
        while missing := [file for file in files if not file.exists()]:
            now = time.monotonic()
            if now > end or resubmissions > _MOST_RESUBMISSIONS:
                raise SystemExit(
                    f"no task has written {missing[0]} in {_PATIENCE_S:g} s, "
                    f"or in {_MOST_RESUBMISSIONS} resubmissions"
                )
            if now >= next_look:
                next_look = now + _QUEUE_LOOK_S
                if not alive_jobs(self.cluster) and not all(file.exists() for file in missing):
                    resubmit()
                    resubmissions += 1
            time.sleep(_LOOK_S)

    def load(self, pattern: str) -> Labels:
        """Load the answers of all tasks into the database, as a script's last line does."""
        statement = f"CREATE TABLE {TABLE} AS SELECT uri, civic FROM '{self.answers}/{pattern}'"
        self.run(python("-c", LOAD, self.database, statement))
        return Labels(TABLE, time.time())

    def check_rows(self, table: str) -> None:
        """Check that each post has exactly one row, with the right label.

        Raises:
            SystemExit: it has not.
        """
        with duckdb.connect(str(self.database), read_only=True) as database:
            counts = database.execute(
                f"SELECT count(*), count(DISTINCT uri), count(*) FILTER (civic) FROM {table} "
                f"JOIN (SELECT DISTINCT uri FROM '{self.source}') USING (uri)"
            ).fetchone()
            rows = database.execute(f"SELECT count(*) FROM {table}").fetchone()
        if (rows, counts) != ((self.scenario.posts,), (self.scenario.posts,) * 3):
            raise SystemExit(
                f"{self.database}: {rows} rows; of our posts, distinct, right: {counts}"
            )


def alive_jobs(cluster: SlurmCluster) -> list[str]:
    """Return the ids of the jobs in the queue, and cancel those that can never start."""
    rows = [line.split() for line in cluster.run("squeue", "-h", "-o", "%A %r").splitlines()]
    never = [job for job, reason in rows if reason == _NEVER_STARTS]
    if never:
        cluster.run("scancel", *never)
    return [job for job, reason in rows if reason != _NEVER_STARTS]
