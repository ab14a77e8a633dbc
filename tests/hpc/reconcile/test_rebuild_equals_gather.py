"""Whatever was published, redone and gathered, in any order, a rebuild gives the same tables.

It does so where the labels are in the database as well as where they are in Parquet files, and also
if it changes from one to the other.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpc.database import gather_outputs
from hpc.executors.local.executor import LocalExecutor
from hpc.reconcile.gathering.rebuild import rebuild
from hpc.reconcile.look import look
from hpc.run import run_folder
from hpc.run.model.run import Run
from pipeline.config.sections import DUCKDB, LAYOUTS, PARQUET
from pipeline.database.supersede import OTHER_CONFIG, UNLABELABLE
from pipeline.model import Answer
from pipeline.run_files import manifest
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import valence_run
from tests.pipeline.run_builders import SourcePost, posts, publish_shard

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
    """A run, one that may replace some of its labels, and one that shares posts with both."""

    folder: Path
    replaces: str
    other_setup: bool
    layout: str
    runs: list[Run] = field(default_factory=list)
    attempts: int = 0

    def __post_init__(self) -> None:
        self.runs = [
            self.make(0, posts(7)),
            self.make(1, posts(5, first=2), self.replaces, "0" * 16 if self.other_setup else None),
            self.make(2, posts(6, first=4)),
        ]

    def make(
        self, number: int, rows: list[SourcePost], replaces: str = "", setup: str | None = None
    ) -> Run:
        made = valence_run(self.folder, 0, shards=SHARDS, rows=rows, run_id=run_id(number))
        changed = msgspec.structs.replace(
            made.manifest,
            replaces=replaces,
            config_hash=setup or made.manifest.config_hash,
            layout=self.layout,
        )
        manifest.write(made.folder, changed)
        return run_folder.load(made.folder)

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

    def change_layout(self, layout: str) -> None:
        """From now on a rebuild uses another layout, since the newest run says so."""
        newest = self.runs[-1]
        changed = msgspec.structs.replace(newest.manifest, layout=layout)
        manifest.write(newest.folder, changed)
        self.runs[-1] = run_folder.load(newest.folder)

    def gather(self, run: Run) -> None:
        now = look(run, LocalExecutor(), include_done=True)
        gather_outputs.gather(run, now.observation, now.judgements)

    def take(self, steps: list[Step]) -> None:
        for what, run, shard, answers in steps:
            if what == "publish":
                self.publish(self.runs[run], shard, answers)
            else:
                self.gather(self.runs[run])

    def tables(self) -> dict[str, list[tuple[object, ...]]]:
        database = self.runs[0].manifest.database
        with duckdb.connect(database, read_only=True) as connection:
            connection.execute("SET file_search_path = ?", [str(self.folder)])
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
            st.integers(0, 2),
            st.integers(0, SHARDS - 1),
            st.integers(0, 7),
        ),
        max_size=14,
    )


# Gathered in the other order, the first run gives way, and so does the third.
@example([("publish", 0, 1, 0), ("publish", 2, 0, 0)], "", False, DUCKDB, DUCKDB)
@example([("publish", 0, 1, 0), ("publish", 2, 0, 0)], "", False, PARQUET, DUCKDB)
@example(
    [("publish", run, shard, 0b010) for run in range(3) for shard in range(SHARDS)],
    OTHER_CONFIG,
    True,
    PARQUET,
    PARQUET,
)
@example(
    [("publish", run, shard, 0b101) for run in range(3) for shard in range(SHARDS)],
    UNLABELABLE,
    False,
    DUCKDB,
    PARQUET,
)
@settings(max_examples=5, deadline=None)
@given(
    steps(),
    st.sampled_from(["", OTHER_CONFIG, UNLABELABLE]),
    st.booleans(),
    st.sampled_from(LAYOUTS),
    st.sampled_from(LAYOUTS),
)
def test_a_rebuild_gives_the_tables_that_gathering_gave(
    taken: list[Step], replaces: str, other_setup: bool, layout: str, rebuilt: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = Runs(Path(folder), replaces, other_setup and replaces == OTHER_CONFIG, layout)
        made.take(taken)
        for run in made.runs[::-1]:
            made.gather(run)
        gathered = made.tables()
        made.change_layout(rebuilt)
        rebuild(made.runs[0], lambda _: None)
        assert made.tables() == gathered
