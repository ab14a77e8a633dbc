"""Errors of the file system cost no answer that is paid for, and blame no post."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import Cause
from pipeline.run_files import last_words, output
from pipeline.run_files.manifest import Manifest, work_path
from pipeline.worker import crash_journal
from tests.attack.faults import Faults
from tests.pipeline import task_processes
from tests.pipeline.run_builders import make_run, order, posts
from tests.servers.perspective import PerspectiveServer
from tests.waiting import wait_until

COUNT, IN_FLIGHT = 120, 4
SHORT_WAITS = (
    "import sys; from pipeline.worker import answer_keeper, process as worker; "
    "answer_keeper.FIRST_PAUSE = answer_keeper.LONGEST_PAUSE = 0.1; "
)
# The work folder of shard 0 in any run.
WORK = f"*/{work_path(Path(), 0)}"
PART, JOURNAL = f"{WORK}/0001-*.parquet", f"{WORK}/0001-*.answers"
CRASH_JOURNAL, SHARD = f"{WORK}/0001-*.in-hand", "*/shards/00000.parquet"


@pytest.fixture
def server() -> Iterator[PerspectiveServer]:
    with PerspectiveServer(latency_s=0.01) as running:
        yield running


def run_of(folder: Path, server: PerspectiveServer, count: int = COUNT) -> tuple[Path, Manifest]:
    classifier = task_processes.perspective(server.url, IN_FLIGHT)
    return make_run(folder, posts(count), classifier=classifier, checkpoint_rows=20)


def start(
    run_dir: Path, server: PerspectiveServer, faults: Faults, *, attempt: int = 1, crashed: str = ""
) -> "subprocess.Popen[str]":
    work_order = replace(order(run_dir, attempt=attempt), crashed=crashed)
    environment = {**faults.environment(), "TEST_KEY": server.key}
    return task_processes.start(work_order, program=SHORT_WAITS, **environment)


@pytest.fixture
def killed_run(
    tmp_path: Path, server: PerspectiveServer, faults: Faults
) -> tuple[Path, Manifest, int]:
    """A run whose first task was killed half-way, and how many answers it kept."""
    run_dir, run = run_of(tmp_path, server)
    task = start(run_dir, server, faults)
    wait_until(lambda: server.paid >= 50, task=task)
    task_processes.kill(task)
    names = [path.suffix for path in work_path(run_dir, 0).iterdir()]
    assert {".parquet", ".answers", ".in-hand"} <= set(names)
    return run_dir, run, task_processes.rows_in(work_path(run_dir, 0))


CANNOT_BE_READ = (
    ("open", PART, errno.ESTALE),
    ("open", PART, errno.EACCES),
    ("open", PART, errno.EMFILE),
    ("read", PART, errno.EIO),
    ("read", PART, errno.ENOMEM),
    ("open", JOURNAL, errno.ESTALE),
    ("read", JOURNAL, errno.EIO),
    ("open", SHARD, errno.ENFILE),
    ("read", SHARD, errno.ESTALE),
    ("open", CRASH_JOURNAL, errno.EACCES),
    ("read", CRASH_JOURNAL, errno.EIO),
    ("list", WORK, errno.EACCES),
)


def test_what_cannot_be_read_now_ends_the_task_before_it_asks(
    killed_run: tuple[Path, Manifest, int], server: PerspectiveServer, faults: Faults
) -> None:
    """Each fault ends an attempt, and the first one without a fault has all that was kept."""
    run_dir, run, kept = killed_run
    paid = server.paid
    for attempt, (operation, pattern, error) in enumerate(CANNOT_BE_READ, start=2):
        fault = faults.fail(operation, pattern, error)
        task = start(run_dir, server, faults, attempt=attempt, crashed="1")
        code, _, _ = task_processes.finished(task)
        assert fault.injected > 0, (operation, pattern, error)
        words = last_words.read(run_dir, attempt, 0)
        assert words is not None
        expected = Cause.OUT_OF_MEMORY if error == errno.ENOMEM else Cause.CRASHED
        assert (code, words.cause, words.stops_run) == (1, expected, False)
        named = faults.injected()[-1].path
        assert words.message == f"{named} cannot be read now: {os.strerror(error)}"
        assert server.paid == paid
        assert crash_journal.read_evidence(work_path(run_dir, 0), [attempt]).suspects == {}
        fault.stop()
    last = 2 + len(CANNOT_BE_READ)
    code, out, _ = task_processes.finished(start(run_dir, server, faults, attempt=last))
    assert (code, task_processes.already_answered(out)) == (0, kept)
    assert server.paid <= COUNT + IN_FLIGHT
    assert output.verify(run_dir, run, 0).verified


def test_trouble_that_passes_is_not_even_noticed(
    killed_run: tuple[Path, Manifest, int], server: PerspectiveServer, faults: Faults
) -> None:
    run_dir, _, kept = killed_run
    for pattern in (PART, JOURNAL, SHARD):
        faults.fail("read", pattern, errno.ESTALE, times=2)
    code, out, err = task_processes.finished(start(run_dir, server, faults, attempt=2))
    assert (code, err, task_processes.already_answered(out)) == (0, "", kept)
    assert len(faults.injected()) == 6


# In the order of a task's life: what is written with each answer, with each part, and at the end.
CANNOT_BE_WRITTEN = (
    ("write", JOURNAL, errno.ENOSPC),
    ("write", JOURNAL, errno.EIO),
    ("open", JOURNAL, errno.ENFILE),
    ("write", CRASH_JOURNAL, errno.EIO),
    ("write", f"{WORK}/*.parquet", errno.EDQUOT),
    ("open", f"{WORK}/*.parquet", errno.EMFILE),
    ("open", f"{WORK}/*.parquet", errno.ENOMEM),
    ("sync", f"{WORK}*", errno.EIO),
    ("rename", f"{WORK}/*.parquet", errno.EROFS),
    ("write", "*/outputs/*", errno.ENOSPC),
)


def test_what_cannot_be_written_for_a_while_costs_nothing(
    tmp_path: Path, server: PerspectiveServer, faults: Faults
) -> None:
    """One task meets each fault in the middle of its work, and goes on once it has passed."""
    count = 4 * COUNT
    run_dir, run = run_of(tmp_path, server, count)
    task = start(run_dir, server, faults)
    for operation, pattern, error in CANNOT_BE_WRITTEN:
        paid = server.paid
        wait_until(lambda paid=paid: server.paid >= min(paid + 10, count), task=task)
        fault = faults.fail(operation, pattern, error)
        what = f"{operation} of {pattern} fails with {errno.errorcode[error]}"
        wait_until(lambda fault=fault: fault.injected >= 2, what, task=task)
        fault.stop()
    code, out, err = task_processes.finished(task)
    assert (code, err) == (0, ""), out
    assert server.paid == count
    assert output.verify(run_dir, run, 0).verified
    assert list(work_path(run_dir, 0).iterdir()) == []


def test_a_run_that_is_deleted_under_its_task_stops_the_task(
    tmp_path: Path, server: PerspectiveServer, faults: Faults
) -> None:
    """Nobody could read its answers any more, so it should not pay for them."""
    run_dir, _ = run_of(tmp_path, server)
    task = start(run_dir, server, faults)
    wait_until(lambda: server.paid >= 25, task=task)
    shutil.rmtree(run_dir)
    assert task_processes.finished(task)[0] == 1
    assert server.paid < COUNT
    assert not run_dir.exists()
