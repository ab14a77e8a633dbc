"""Whatever was published, redone, retried and gathered, a rebuild gives the same tables."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.database import gather_outputs
from hpc.executors.local.executor import LocalExecutor
from hpc.reconcile.look import look
from hpc.reconcile.rebuild import rebuild
from hpc.run import run_folder
from hpc.run.model import Run
from pipeline.database.supersede import UNLABELABLE
from pipeline.model import Answer
from pipeline.run_files import manifest
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import valence_run
from tests.pipeline.run_builders import posts, publish_shard

TABLES = {
    "labels_valence": "* ",
    "superseded_valence": "* EXCLUDE (superseded_at)",
    "runs": "*",
    "shards": "* EXCLUDE (gathered_at)",
    "attempts": "*",
}
SHARDS = 3
Step = tuple[str, int, int, int]


@dataclass
class Runs:
    """Two runs of posts of their own, and one that retries what the first one could not label."""

    folder: Path
    runs: list[Run] = field(default_factory=list)
    attempts: int = 0

    def __post_init__(self) -> None:
        self.runs = [
            valence_run(self.folder, 0, shards=SHARDS, rows=posts(7), run_id=run_id(0)),
            valence_run(self.folder, 0, shards=SHARDS, rows=posts(5, first=7), run_id=run_id(1)),
        ]

    def add_retry(self) -> None:
        made = valence_run(self.folder, 0, shards=SHARDS, rows=posts(7), run_id=run_id(2))
        manifest.write(made.folder, msgspec.structs.replace(made.manifest, replaces=UNLABELABLE))
        self.runs.append(run_folder.load(made.folder))

    def publish(self, run: Run, shard: int, answers: int) -> None:
        """Publish a shard, or publish it again; the bits of `answers` say what is labeled."""
        self.attempts += 1
        output_path(run.folder, shard).unlink(missing_ok=True)
        bits = iter(range(9))

        def answer(uri: str) -> Answer:
            if answers >> next(bits) & 1:
                return Answer(uri, {"compound": answers / 8, "valence_label": "neutral"})
            return Answer(uri, reason="text_too_short")

        publish_shard(run.folder, run.manifest, shard, answer=answer, attempt=self.attempts)

    def gather(self, run: Run) -> None:
        now = look(run, LocalExecutor(), include_done=True)
        gather_outputs.gather(run, now.observation, now.judgements)

    def take(self, steps: list[Step], runs: list[Run]) -> None:
        for what, run, shard, answers in steps:
            if what == "publish":
                self.publish(runs[run % len(runs)], shard, answers)
            else:
                self.gather(runs[run % len(runs)])

    def tables(self) -> dict[str, list[tuple[object, ...]]]:
        database = self.runs[0].manifest.database
        with duckdb.connect(database, read_only=True) as connection:
            present = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
            return {
                table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY ALL").fetchall()
                for table, columns in TABLES.items()
                if table in present
            }


def run_id(number: int) -> str:
    return f"2024060{number + 1}T120000-valence-0000000{number}"


def steps() -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.tuples(
            st.sampled_from(["publish", "gather"]),
            st.integers(0, 1),
            st.integers(0, SHARDS - 1),
            st.integers(0, 7),
        ),
        max_size=8,
    )


def all_shards(run: Run) -> Iterator[int]:
    return iter(range(len(run.manifest.shards)))


@settings(max_examples=5, deadline=None)
@given(steps(), st.integers(0, 127), steps())
def test_a_rebuild_gives_the_tables_that_gathering_gave(
    before: list[Step], answers: int, after: list[Step]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = Runs(Path(folder))
        made.take(before, made.runs)
        # A retry takes its posts from what is gathered.
        first = made.runs[0]
        for shard in all_shards(first):
            made.publish(first, shard, answers >> shard)
        made.gather(first)
        made.add_retry()
        made.take(after, made.runs[1:])
        for run in made.runs:
            made.gather(run)
        gathered = made.tables()
        rebuild(first, lambda _: None)
        assert made.tables() == gathered
        Path(first.manifest.database).unlink()
        rebuild(first, lambda _: None)
        assert made.tables() == gathered
