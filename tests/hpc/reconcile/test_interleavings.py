"""Anything in any order: arrivals, late ones, runs, tasks that die, gatherings, crashes, rebuilds.
At the end every post has one row, was paid for once, and the audit says so by itself."""

import contextlib
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hpc.reconcile.audit_backlog import AuditedBacklog, audit_backlog
from hpc.reconcile.gathering.rebuild import rebuild
from pipeline.backlog import sources
from pipeline.database.backlog_audit import Audit
from pipeline.errors import RunError
from pipeline.model import Shard
from pipeline.run_files.manifest import output_path
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.pipeline import run_builders


class Arrivals(RuleBasedStateMachine):
    """Arrivals in and out of order, runs, tasks and gatherings in any order, crashes in between."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.growing = GrowingBacklog(Path(self._folder.name), paying=True)
        sys.path.insert(0, str(self.growing.bench.site))
        self.growing.arrive(*(post(number, number // 2) for number in range(8)))
        self.next = 8
        self.redone = 0

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            sys.path.remove(str(self.growing.bench.site))
            self._folder.cleanup()

    @rule(
        arrivals=st.lists(
            st.tuples(st.integers(0, 6), st.sampled_from(["", "", "good morning", "good night"])),
            min_size=1,
            max_size=4,
        )
    )
    def arrive(self, arrivals: list[tuple[int, str]]) -> None:
        """Posts arrive, with their hour and maybe a text that others have too."""
        new = [post(self.next + at, hour) for at, (hour, _) in enumerate(arrivals)]
        self.next += len(new)
        self.growing.arrive(
            *(
                each._replace(text=text or each.text)
                for each, (_, text) in zip(new, arrivals, strict=True)
            )
        )

    @rule(backfill=st.booleans(), limit=st.sampled_from([None, 1, 3]))
    def submit(self, backfill: bool, limit: int | None) -> None:
        self.growing.submit(backfill=backfill, limit=limit)

    @precondition(lambda self: self.growing.runs())
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.growing.runs()), "run")
        index = data.draw(st.integers(0, len(run.manifest.shards) - 1), "shard")
        for dies_after in data.draw(
            st.sampled_from([(None,), (1,), (0, 2), (1, 1, None)]), "lives"
        ):
            self.growing.work(run, index, dies_after)

    @precondition(lambda self: self.growing.runs())
    @rule(data=st.data())
    def gather(self, data: st.DataObject) -> None:
        self.growing.gather(data.draw(st.sampled_from(self.growing.runs()), "run"))

    @precondition(lambda self: self.growing.runs())
    @rule(data=st.data())
    def lose_an_output(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.growing.runs()), "run")
        index = data.draw(st.integers(0, len(run.manifest.shards) - 1), "shard")
        output = output_path(run.folder, index)
        if output.exists():
            output.unlink()
            self.redone += _asked(run.manifest.shards[index])

    @rule()
    def die_while_planning(self) -> None:
        (self.growing.bench.folder / "runs" / ".planning-dead" / "shards").mkdir(
            parents=True, exist_ok=True
        )

    @precondition(lambda self: self.growing.runs())
    @rule()
    def rebuild(self) -> None:
        """A rebuild takes all outputs, or none if that would lose rows."""
        loses_rows = self._rows_without_output() > 0
        refused = pytest.raises(RunError) if loses_rows else contextlib.nullcontext()
        with refused:
            rebuild(self.growing.runs()[-1], lambda line: None)

    @invariant()
    def no_post_is_planned_twice_or_labeled_twice(self) -> None:
        assert max(self._planned().values(), default=1) == 1
        assert max(self.growing.labeled().values(), default=1) == 1

    @invariant()
    def every_planned_post_up_to_the_watermark_has_its_row(self) -> None:
        mark, labeled = self.growing.watermark(), self.growing.labeled()
        planned = self._planned()
        behind = [
            arrived.uri
            for arrived in self.growing.posts
            if mark and arrived.preprocessing_timestamp <= mark
            if arrived.uri in planned and arrived.uri not in labeled
        ]
        assert behind == []

    def audit(self) -> Audit:
        config, runs = self.growing.settings(), self.growing.runs()
        source = sources.find_source(config.backlog, (self.growing.bench.folder,))
        backlog = AuditedBacklog(config=config, source=source, runs=runs, unusable=[])
        return audit_backlog(backlog).audit

    @rule()  # not an invariant: it takes as long as all else together
    def the_audit_places_every_post(self) -> None:
        report = self.audit()
        assert sum(report.places.values()) == report.expected == len(self.growing.posts)
        assert report.duplicates == report.foreign == report.unproven == report.differing == 0
        assert report.outputs_gone == self._rows_without_output()

    def _rows_without_output(self) -> int:
        """Rows whose output was lost after it was gathered."""
        return self.growing.rows_without_output()

    def _planned(self) -> Counter[str]:
        return Counter(
            uri
            for run in self.growing.runs()
            for shard in run.manifest.shards
            for uri in run_builders.read_shard(run.folder, shard.index)["uri"].to_pylist()
        )

    def _end(self) -> None:
        for _ in range(2):
            for run in self.growing.runs():
                for shard in run.manifest.shards:
                    self.growing.work(run, shard.index, None)
                self.growing.gather(run)
            self.growing.submit(backfill=True)
        posts = [arrived.uri for arrived in self.growing.posts]
        assert self.growing.labeled() == Counter(posts)
        paid = self.growing.paid()
        assert set(paid) <= set(posts)
        # A task that dies of an exception writes what it has first; kill -9, which may cost up to a
        # checkpoint, is in tests/pipeline/test_worker_processes.py.
        asked = sum(_asked(shard) for run in self.growing.runs() for shard in run.manifest.shards)
        assert paid.total() == asked + self.redone
        copied = len(posts) - asked
        assert self.growing.query(
            "SELECT count(*) FROM labels_test AS copy JOIN labels_test AS origin "
            "ON copy.copied_from = origin.uri WHERE (copy.text, copy.length, copy.run_id, "
            "copy.shard_index) = (origin.text, origin.length, origin.run_id, origin.shard_index)"
        ) == [(copied,)]
        assert self.audit().copied == copied
        assert self.audit().is_whole


def _asked(shard: Shard) -> int:
    return shard.posts - shard.copies


TestArrivals = Arrivals.TestCase
TestArrivals.settings = settings(
    max_examples=6,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
