"""A task that cannot write asks nothing more, keeps what is paid for, and goes on when it can."""

import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import Cause
from pipeline.run_files import heartbeat, last_words, output
from pipeline.run_files.manifest import Manifest, work_path
from tests.pipeline import task_processes
from tests.pipeline.conftest import fill, take_all_inodes
from tests.pipeline.run_builders import make_run, order, posts
from tests.pipeline.worker.whole_heartbeat import read_whole_heartbeat
from tests.servers.perspective import Fault, PerspectiveServer
from tests.waiting import wait_until

COUNT, IN_FLIGHT = 200, 4
# Waits are as long as a person needs to make room, which a test need not be.
SHORT_WAITS = (
    "import sys; from pipeline.run_files import heartbeat; "
    "from pipeline.worker import answer_keeper, process as worker; "
    "heartbeat.HEARTBEAT_SECONDS = answer_keeper.FIRST_PAUSE = answer_keeper.LONGEST_PAUSE = 0.1; "
    "answer_keeper.FINAL_SECONDS = 0.3; "
)
# Each wait between two requests ends at once and leaves a line.
SHOWN_BACKOFFS = (
    "import random; random.uniform = lambda low, high: print('backs off', flush=True) or 0.01; "
)


@pytest.fixture
def server() -> Iterator[PerspectiveServer]:
    with PerspectiveServer(latency_s=0.02) as running:
        yield running


def run_of(folder: Path, server: PerspectiveServer, rows: int) -> tuple[Path, Manifest]:
    classifier = task_processes.perspective(server.url, IN_FLIGHT)
    return make_run(folder, posts(COUNT), classifier=classifier, checkpoint_rows=rows)


def begin(
    run_dir: Path,
    server: PerspectiveServer,
    *,
    attempt: int = 1,
    program: str = SHORT_WAITS,
    key: str | None = None,
) -> "subprocess.Popen[str]":
    return task_processes.start(
        order(run_dir, attempt=attempt), program=program, TEST_KEY=key or server.key
    )


def says(task: "subprocess.Popen[str]", words: str) -> bool:
    """Wait for a line with these words; False if the task ends before that."""
    assert task.stdout is not None
    return any(words in line for line in iter(task.stdout.readline, ""))


def start(
    run_dir: Path, server: PerspectiveServer, *, program: str = SHORT_WAITS
) -> "subprocess.Popen[str]":
    """Start a task, and return once it has paid for some answers."""
    task = begin(run_dir, server, program=program)
    wait_until(lambda: server.paid >= 20, task=task)
    return task


def beat_of(run_dir: Path) -> heartbeat.Heartbeat | None:
    return read_whole_heartbeat(work_path(run_dir, 0), 1)


def waits_for_disk(run_dir: Path) -> bool:
    beat = beat_of(run_dir)
    return beat is not None and beat.waits_for_disk


def finish(task: "subprocess.Popen[str]", run_dir: Path, run: Manifest) -> None:
    code, out, err = task_processes.finished(task)
    assert (code, err) == (0, ""), out
    assert output.verify(run_dir, run, 0).verified
    assert list(work_path(run_dir, 0).iterdir()) == []


def take_all_bytes(folder: Path) -> None:
    (folder / "filler").mkdir()
    fill(folder / "filler", leaving=0)


@pytest.mark.parametrize(
    ("disk", "rows", "exhaust"),
    [
        ("small_disk", 10, take_all_bytes),
        ("small_disk", 1000, take_all_bytes),
        ("few_inodes", 10, take_all_inodes),
    ],
)
def test_a_task_waits_for_room_and_pays_for_nothing_twice(
    request: pytest.FixtureRequest,
    server: PerspectiveServer,
    disk: str,
    rows: int,
    exhaust: Callable[[Path], None],
) -> None:
    folder = request.getfixturevalue(disk)
    run_dir, run = run_of(folder, server, rows)
    task = start(run_dir, server)
    exhaust(folder)
    wait_until(lambda: waits_for_disk(run_dir), task=task)
    beat = beat_of(run_dir)
    assert beat is not None
    assert "No space left on device" in beat.last_error
    wait_until(lambda: server.requests == server.paid, task=task)
    asked = server.requests
    assert asked < COUNT
    seen = beat_of(run_dir)
    wait_until(lambda: beat_of(run_dir) not in (None, seen), task=task)
    assert server.requests == asked, "nothing is asked while nothing can be written"
    shutil.rmtree(folder / "filler")
    finish(task, run_dir, run)
    assert server.paid == COUNT


@pytest.mark.parametrize(
    ("disk", "exhaust"), [("small_disk", take_all_bytes), ("few_inodes", take_all_inodes)]
)
def test_a_task_that_finds_a_full_disk_begins_once_there_is_room(
    request: pytest.FixtureRequest,
    server: PerspectiveServer,
    disk: str,
    exhaust: Callable[[Path], None],
) -> None:
    """To end would use up all attempts of a night in a few minutes."""
    folder = request.getfixturevalue(disk)
    run_dir, run = run_of(folder, server, rows=10)
    exhaust(folder)
    task = begin(run_dir, server)
    assert says(task, "cannot begin")
    task.send_signal(signal.SIGTERM)
    assert task_processes.finished(task)[0] == 128 + signal.SIGTERM
    assert last_words.read(run_dir, 1, 0) is None
    second = begin(run_dir, server, attempt=2)
    assert says(second, "cannot begin")
    assert server.requests == 0
    shutil.rmtree(folder / "filler")
    finish(second, run_dir, run)
    assert server.paid == COUNT


def test_a_task_that_can_open_no_connection_waits_and_blames_no_post(
    tmp_path: Path, server: PerspectiveServer
) -> None:
    """Other posts may be answered meanwhile, by connections that are open already."""
    run_dir, run = run_of(tmp_path, server, rows=1000)
    is_cutting = threading.Event()
    server.faults = lambda text, nth: Fault(cut_connection=True) if is_cutting.is_set() else None
    task = start(run_dir, server, program=SHORT_WAITS + SHOWN_BACKOFFS)
    limits = resource.prlimit(task.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(task.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    is_cutting.set()
    assert task.stdout is not None
    backoffs = 0
    while backoffs < 10 * IN_FLIGHT:  # more tries than requests have
        line = task.stdout.readline()
        if not line or "cannot write" in line:
            task.kill()
            pytest.fail("the classifier has ended")
        backoffs += line == "backs off\n"
    is_cutting.clear()
    resource.prlimit(task.pid, resource.RLIMIT_NOFILE, limits)
    finish(task, run_dir, run)
    assert server.paid == COUNT


def test_a_log_without_room_ends_no_task(tmp_path: Path, server: PerspectiveServer) -> None:
    run_dir, run = run_of(tmp_path, server, rows=10)
    full_log = "sys.stdout = sys.stderr = open('/dev/full', 'w'); "
    task = begin(run_dir, server, program=SHORT_WAITS + full_log)
    assert task_processes.finished(task) == (0, "", "")
    assert output.verify(run_dir, run, 0).verified
    server.key = "another"
    (run_dir / "outputs/00000.parquet").unlink()
    refused = begin(run_dir, server, attempt=2, program=SHORT_WAITS + full_log, key="wrong")
    assert task_processes.finished(refused)[0] == 1
    words = last_words.read(run_dir, 2, 0)
    assert words is not None
    assert words.cause is Cause.REFUSED


def test_a_task_without_descriptors_waits_until_it_has_some(
    tmp_path: Path, server: PerspectiveServer
) -> None:
    run_dir, run = run_of(tmp_path, server, rows=10)
    task = start(run_dir, server)
    limits = resource.prlimit(task.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(task.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    assert says(task, "cannot write its answers")
    assert server.requests < COUNT
    resource.prlimit(task.pid, resource.RLIMIT_NOFILE, limits)
    finish(task, run_dir, run)
    assert server.paid == COUNT


def test_spare_descriptors_write_parts_while_there_are_no_others(
    tmp_path: Path, server: PerspectiveServer
) -> None:
    run_dir, run = run_of(tmp_path, server, rows=10)
    task = start(run_dir, server)
    open_files = [int(path.name) for path in Path(f"/proc/{task.pid}/fd").iterdir()]
    _, hard = resource.prlimit(task.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(task.pid, resource.RLIMIT_NOFILE, (max(open_files) + 1, hard))
    finish(task, run_dir, run)
    assert server.paid == COUNT


def test_a_task_that_is_stopped_on_a_full_disk_says_what_is_lost(
    small_disk: Path, server: PerspectiveServer
) -> None:
    run_dir, run = run_of(small_disk, server, rows=1000)
    task = start(run_dir, server)
    take_all_bytes(small_disk)
    wait_until(lambda: waits_for_disk(run_dir), task=task)
    task.send_signal(signal.SIGUSR2)
    code, out, _ = task_processes.finished(task)
    words = last_words.read(run_dir, 1, 0)
    assert words is not None, "they take the room of the heartbeat"
    assert (code, words.cause) == (1, Cause.TIMEOUT)
    lost = server.paid - task_processes.rows_in(work_path(run_dir, 0))
    assert 0 < lost <= 2 * IN_FLIGHT, "those in flight, and those that came meanwhile"
    assert f"\n{lost} answer" in out
    shutil.rmtree(small_disk / "filler")
    second = task_processes.start(order(run_dir, attempt=2), TEST_KEY=server.key)
    finish(second, run_dir, run)
    assert server.paid == COUNT + lost
