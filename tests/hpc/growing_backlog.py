"""A backlog that grows and the runs made of it, in the tests' own process."""

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from hpc.config import run_config
from hpc.config.run_config import Config
from hpc.database import gather_outputs
from hpc.database.register_runs import register_run
from hpc.executors.local.executor import LocalExecutor
from hpc.planning.new_run import create_run
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import Selection, validate
from hpc.reconcile.look import look
from hpc.run import run_folder
from hpc.run.model.run import Run
from hpc.runs import find_runs
from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.options import Options
from pipeline.model import Answer, Column, Post
from pipeline.run_files.output import verify
from pipeline.worker.process import run_task
from tests.hpc.cli_bench import Bench
from tests.pipeline import run_builders
from tests.pipeline.run_builders import FIRST_TIME, SourcePost

HOUR = timedelta(hours=1)
CHECKPOINT_ROWS = 2


def post(number: int, hour: int) -> SourcePost:
    return SourcePost(run_builders.uri(number), f"post number {number}", FIRST_TIME + hour * HOUR)


class PayingOptions(Options, frozen=True, kw_only=True):
    """`folder`: of the files that the classifier reads and writes."""

    folder: str


class Paying(Classifier[PayingOptions]):
    """Writes every post that it labels into file `paid`; fails after as many as `dies` says."""

    columns = (Column("length", "integer"),)
    model = "paying 1"

    options_type = PayingOptions
    needs_numpy = False

    def __init__(self, options: PayingOptions, share: TaskShare) -> None:
        self._folder = Path(options.folder)

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        dies = (self._folder / "dies").read_text()
        with (self._folder / "paid").open("a") as paid:
            for number, one in enumerate(posts):
                if dies and number == int(dies):
                    raise RuntimeError("this was scripted")
                paid.write(f"{one.uri}\n")
                paid.flush()
                yield Answer(one.uri, {"length": len(one.text)})


class GrowingBacklog:
    """A backlog that grows, and the runs made of it, in this process.

    Args:
        paying: label with `Paying`, by tasks that run in this process; else, outputs are made up.
        runs: the folder of the runs.
    """

    def __init__(self, folder: Path, *, paying: bool = False, runs: str = "runs") -> None:
        self.bench = Bench(folder)
        self.run_root = folder / runs
        self.posts: list[SourcePost] = []
        with (self.bench.site / "scripted-1.dist-info" / "entry_points.txt").open("a") as entries:
            entries.write("paying = tests.hpc.growing_backlog:Paying\n")
        self.bench.config(
            classifier={"type": "paying", "folder": str(folder)} if paying else {"type": "valence"},
            checkpoint={"rows": CHECKPOINT_ROWS},
            storage={"run_root": str(self.run_root), "database": str(folder / "labels.duckdb")},
        )

    def settings(self) -> Config:
        return run_config.load(self.bench.path)

    def work(self, run: Run, index: int, dies_after: int | None) -> bool:
        """One life of a shard's task; False where it died."""
        (self.bench.folder / "dies").write_text("" if dies_after is None else str(dies_after))
        usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
        try:
            run_task(run_builders.order(run.folder, index))
        except SystemExit:
            return False
        finally:
            for number, handler in usual.items():
                signal.signal(number, handler)
        return True

    def paid(self) -> Counter[str]:
        path = self.bench.folder / "paid"
        return Counter(path.read_text().split() if path.exists() else [])

    def rows_without_output(self) -> int:
        there = [
            run.run_id + str(shard.index)
            for run in self.runs()
            for shard in run.manifest.shards
            if verify(run.folder, run.manifest, shard.index).verified
        ]
        rows = self.query("SELECT run_id || shard_index FROM labels_test")
        return sum(key not in there for (key,) in rows)

    def arrive(self, *posts: SourcePost) -> None:
        self.posts += posts
        self.bench.backlog(self.posts)

    def submit(
        self, *, now: datetime | None = None, **scope: object
    ) -> tuple[Run | None, RunDraft]:
        agreed = validate(run_config.load(self.bench.path))
        selection = Selection(**scope)  # type: ignore[arg-type]
        folders = (self.bench.folder,)
        made, draft = create_run.create_run(agreed, selection, folders, "", now=now)
        if made:
            register_run(made)
        return made, draft

    def runs(self) -> list[Run]:
        return [run_folder.load(folder) for folder in find_runs.all_runs(self.run_root)]

    def publish(self, run: Run, *shards: int) -> None:
        for index in shards or range(len(run.manifest.shards)):
            if not verify(run.folder, run.manifest, index).verified:
                run_builders.publish_shard(run.folder, run.manifest, index)

    def gather(self, run: Run) -> None:
        now = look(run, LocalExecutor(), lock_is_ours=True)
        gather_outputs.gather(run, now.observation, now.judgements)

    def finish(self, run: Run) -> None:
        self.publish(run)
        self.gather(run)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        database = self.bench.folder / "labels.duckdb"
        if not database.exists():
            return []
        with duckdb.connect(str(database), read_only=True) as connection:
            try:
                return connection.execute(sql).fetchall()
            except duckdb.CatalogException:
                return []

    def labeled(self) -> Counter[object]:
        return Counter(uri for (uri,) in self.query("SELECT uri FROM labels_test"))

    def watermark(self) -> datetime | None:
        rows = self.query("SELECT watermark FROM watermarks WHERE name = 'test'")
        return rows[0][0] if rows else None  # type: ignore[return-value]


def with_retried_post(folder: Path) -> GrowingBacklog:
    """Return a backlog with two whole runs, the second a retry of one unlabelable post."""
    made = GrowingBacklog(folder)
    made.arrive(
        *(post(n, n) for n in range(1, 5)), SourcePost(run_builders.uri(9), "meh", FIRST_TIME)
    )
    first, _ = made.submit()
    assert first
    made.bench.hpc("supervise", first.folder)
    second, _ = made.submit(retry_reason="text_too_short")
    assert second
    made.finish(second)
    return made
