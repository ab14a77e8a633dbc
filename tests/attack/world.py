"""A project with a complete run, an interrupted run and new posts, which can be put back."""

import os
import re
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.attack import paid_classifier
from tests.attack.faults import Faults
from tests.hpc.adoption import engine
from tests.hpc.cli_bench import Bench, ended
from tests.hpc.forked_verbs import ForkedVerbs
from tests.hpc.processes import tasks_of
from tests.pipeline import run_builders
from tests.waiting import wait_until

POSTS_IN_SHARD = 3
OLD, NEWER, NEW = 9, 9, 3  # posts of the complete run, of the interrupted one, and of none


class Ended(NamedTuple):
    """How a verb ended."""

    verb: str
    code: int | None
    """None: it hung, and was killed."""
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


class World:
    """The project, and the verbs in it.

    `old` is complete and gathered, one of its shards after a failure. `newer` was interrupted for
    the second time: shard 0 is published and not gathered, shard 1 has answers of two attempts,
    shard 2 was never started. Three more posts belong to no run. `handed` is labeled by another
    engine under a name of its own: shard 0 is published, and shard 1 has one answer of three.
    """

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.faults = faults
        self.folder = folder / "project"
        self._template = folder / "template"
        self.backup = folder / "backup"
        self.folder.mkdir()
        self.bench = Bench(self.folder)
        self._build()
        self.old, self.newer, self.handed = (path.name for path in self.bench.runs())
        self.paid_before = paid_classifier.paid(self.folder)
        self.folder.rename(self._template)
        self.restore()
        self._streams = folder / "stdout", folder / "stderr"
        self._verbs = ForkedVerbs(self.folder, {**self.bench.env, **faults.environment()})

    def _build(self) -> None:
        with (self.bench.site / "scripted-1.dist-info" / "entry_points.txt").open("a") as entries:
            entries.write("paid = tests.attack.paid_classifier:Paid\n")
        self.bench.config(
            posts=OLD,
            classifier={"type": "paid"},
            sharding={"rows_per_shard": POSTS_IN_SHARD, "shards": None},
            checkpoint={"rows": 1},
            cluster={
                "executor": "local",
                "max_parallel": 1,
                "grace_seconds": 0,
                "poll_seconds": 0.002,
            },
        )
        self._stop_at(4)
        self._interrupt("submit", "--config", str(self.bench.path))
        (self.folder / paid_classifier.STOP_AT).unlink()
        assert self.bench.hpc_process("supervise").returncode == 0
        self.bench.backlog(run_builders.posts(OLD + NEWER))
        self._stop_at(OLD + 4)
        self._interrupt("submit", "--config", str(self.bench.path))
        shutil.copytree(self.folder, self.backup)
        self._stop_at(OLD + 5)
        self._interrupt("resubmit", "--indices", "1", "--set", "retry.max_attempts=5")
        (self.folder / paid_classifier.STOP_AT).unlink()
        self._hand_over()
        self.bench.backlog(run_builders.posts(OLD + NEWER + NEW))

    def _hand_over(self) -> None:
        """Plan a run for another engine, and adopt some of its answers."""
        own = self.bench.path.read_text()
        self.bench.config(
            name="handed",
            classifier=engine.EXTERNAL,
            sharding={"rows_per_shard": POSTS_IN_SHARD, "shards": None},
        )
        run = engine.hand_over(self.bench, "--limit", 2 * POSTS_IN_SHARD)
        rows = engine.label(run)[: POSTS_IN_SHARD + 1]
        engine.write_lines(run / "answers" / "a.jsonl", rows)
        self.bench.document("adopt", run / "answers", code=3)
        self.bench.path.write_text(own)

    def _stop_at(self, number: int) -> None:
        (self.folder / paid_classifier.STOP_AT).write_text(run_builders.uri(number))

    def _interrupt(self, verb: str, *arguments: str) -> None:
        """Kill a verb and its task once the classifier hangs, and its answer is in a part."""
        parts = len([*self.folder.glob("runs/*/work/00001/*.parquet")])
        stopped = self.folder / paid_classifier.STOPPED
        process = self.bench.start(verb, *arguments)
        wait_until(stopped.exists, "the classifier hangs")
        wait_until(
            lambda: len([*self.folder.glob("runs/*/work/00001/*.parquet")]) > parts, "a part"
        )
        process.kill()
        for task in tasks_of(self.folder):
            os.kill(task, signal.SIGKILL)
        ended(process)
        wait_until(lambda: not tasks_of(self.folder), "the tasks have ended")
        stopped.unlink()

    def restore(self) -> None:
        """Put the project back to what it was."""
        for path in self.folder.iterdir() if self.folder.exists() else ():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copytree(self._template, self.folder, dirs_exist_ok=True)

    def files(self) -> list[Path]:
        """Return the files that this program has written: of the runs, and the database."""
        below = (path for path in (self.folder / "runs").rglob("*") if path.is_file())
        return sorted([*below, *self.folder.glob("labels.duckdb*")])

    def kind(self, path: Path) -> str:
        """Return a file's path in the runs, such as newer/outputs/00000.parquet."""
        name = str(path.relative_to(self.folder)).removeprefix("runs/")
        runs = {self.old: "old", self.newer: "newer", self.handed: "handed"}
        for run_id, run in runs.items():
            name = name.replace(run_id, run)
        return name

    def kinds(self) -> dict[str, Path]:
        """Return a file of each kind, so that a new kind is attacked without being listed."""
        return {re.sub(r"[0-9a-f]{4,}", "N", self.kind(path)): path for path in self.files()}

    def hpc(self, verb: str, *arguments: str) -> Ended:
        out, err = self._streams
        code = self._verbs.run([verb, *arguments], out, err)
        hung = code == -signal.SIGKILL
        return Ended(verb, None if hung else code, out.read_text(), err.read_text())

    def kill_tasks(self) -> None:
        """Kill the tasks that a killed verb has left behind."""
        for task in tasks_of(self.folder):
            os.kill(task, signal.SIGKILL)

    def paid(self) -> Counter[str]:
        """Return what was paid for since the world was made."""
        return paid_classifier.paid(self.folder) - self.paid_before

    def close(self) -> None:
        self._verbs.close()
