"""A backlog that grows and the runs made of it, in the tests' own process."""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from hpc import collect, drive, planning, rundir
from hpc.model import Run
from hpc.planning import Draft, Scope
from hpc.slurm import Slurm
from pipeline import config
from pipeline.output import verify
from tests.hpc.bench import Bench
from tests.pipeline import builders
from tests.pipeline.builders import FIRST_TIME, SourcePost

HOUR = timedelta(hours=1)


def post(number: int, hour: int) -> SourcePost:
    return SourcePost(builders.uri(number), f"post number {number}", FIRST_TIME + hour * HOUR)


class Lab:
    """A backlog that grows, and the runs made of it, in this process."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder)
        self.posts: list[SourcePost] = []
        self.bench.config(
            classifier={"type": "valence"},
            storage={"run_root": str(folder / "runs"), "database": str(folder / "labels.duckdb")},
        )

    def arrive(self, *posts: SourcePost) -> None:
        self.posts += posts
        self.bench.backlog(self.posts)

    def submit(self, **scope: object) -> tuple[Run | None, Draft]:
        agreed = planning.terms(config.load(self.bench.path), Slurm())
        made, draft = planning.make_run(agreed, (self.bench.folder,), Scope(**scope), "")  # type: ignore[arg-type]
        if made:
            collect.register(made)
        return made, draft

    def runs(self) -> list[Run]:
        return [rundir.load(folder) for folder in rundir.all_runs(self.bench.folder / "runs")]

    def publish(self, run: Run, *shards: int) -> None:
        for index in shards or range(len(run.manifest.shards)):
            if not verify(run.folder, run.manifest, index).verified:
                builders.publish_shard(run.folder, run.manifest, index)

    def gather(self, run: Run) -> None:
        now = drive.look(run, None, lock_is_ours=True)
        collect.gather(run, now.observation, now.judged)

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

    def labelled(self) -> Counter[object]:
        return Counter(uri for (uri,) in self.query("SELECT uri FROM labels_test"))

    def watermark(self) -> datetime | None:
        rows = self.query("SELECT watermark FROM watermarks WHERE name = 'test'")
        return rows[0][0] if rows else None  # type: ignore[return-value]
