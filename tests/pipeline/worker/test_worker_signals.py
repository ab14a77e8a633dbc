"""What a task does when it is told that its time is over, by USR2 (the warning) or by SIGTERM."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Cause
from pipeline.model import Answer
from pipeline.run_files import heartbeat, last_words, output
from pipeline.run_files.manifest import Manifest, work_path
from pipeline.run_files.output import ShardLabels
from tests.pipeline import scripted_classifier, task_processes
from tests.pipeline.run_builders import answers_of, make_run, order, posts, read_shard, uri
from tests.servers.perspective import Fault, PerspectiveServer

# As submitit does: a handler for USR2 is there before the worker starts. This one notes what lies
# in the shard's folder when it is called, and that it is called in the main thread.
HANDLED = """
import pathlib, signal, sys, threading
from pipeline.worker import classifier_thread, process as worker
classifier_thread.DRAIN_SECONDS = 0.5
def handler(number, frame):
    work = pathlib.Path(sys.argv[2]) / "work" / "00000"
    names = sorted(path.name.split("-")[-1] for path in work.glob("*-*"))
    print("handled", signal.Signals(number).name, threading.current_thread().name, names)
    {ending}
signal.signal(signal.SIGUSR2, handler)
real, worker.run_process = worker.run_process, lambda order: real(order, requeue={requeue})
"""
CONTINUES = "stopping on request; the next attempt resumes shard 0\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return scripted_classifier.install(tmp_path)


def run_of(folder: Path, count: int, *, rows: int = 1000, **options: Any) -> tuple[Path, Manifest]:
    classifier = scripted_classifier.options(folder, **options)
    return make_run(folder, posts(count), classifier=classifier, checkpoint_rows=rows)


def words(run_dir: Path) -> tuple[Cause, str] | None:
    found = last_words.read(run_dir, 1, 0)
    return (found.cause, found.message) if found else None


def warned(run_dir: Path, folder: Path, site: Path, *, at: int, **how: Any) -> tuple[int, str, str]:
    """A task that is warned when it was asked for post `at`."""
    task = task_processes.start(order(run_dir), site, **how)
    task_processes.until(lambda: scripted_classifier.asked(folder)[uri(at)], task)
    task.send_signal(signal.SIGUSR2)
    return task_processes.finished(task)


def program(ending: str, *, requeue: bool = True) -> str:
    return HANDLED.format(ending=ending, requeue=requeue)


def test_a_task_warned_of_its_time_limit_keeps_what_it_has_and_says_so(
    tmp_path: Path, site: Path
) -> None:
    run_dir, run = run_of(tmp_path, 1500, seconds=0.02)
    code, out, err = warned(run_dir, tmp_path, site, at=5)
    kept = task_processes.rows_in(work_path(run_dir, 0))
    assert code == 1
    assert 5 <= kept == len(scripted_classifier.asked(tmp_path)) < 1500
    assert out.endswith(CONTINUES)
    message = f"stopped before the time limit; {kept:,} of 1,500 posts saved"
    assert words(run_dir) == (Cause.TIMEOUT, message)
    assert message in err
    assert output.verify(run_dir, run, 0) == output.Verdict()
    assert list(work_path(run_dir, 0).glob("*.in-hand")) == []
    beat = heartbeat.read(work_path(run_dir, 0), 1)
    assert beat is not None
    assert (beat.rows, beat.posts) == (kept, 1500)


def test_a_task_that_has_all_answers_when_it_is_warned_publishes(
    tmp_path: Path, site: Path
) -> None:
    gate = tmp_path / "gate"
    run_dir, run = run_of(tmp_path, 1, gate=str(gate))
    task = task_processes.start(order(run_dir), site)
    task_processes.until(lambda: scripted_classifier.asked(tmp_path), task)
    task.send_signal(signal.SIGUSR2)
    gate.touch()
    assert task_processes.finished(task)[0] == 0
    assert output.verify(run_dir, run, 0).verified
    assert words(run_dir) is None


def test_the_handler_that_was_there_before_may_requeue_when_all_is_kept(
    tmp_path: Path, site: Path
) -> None:
    """Although the classifier hangs, and in the main thread, with the parts written."""
    run_dir, _ = run_of(tmp_path, 9, answered=6)
    code, out, err = warned(run_dir, tmp_path, site, at=6, program=program("sys.exit(-1)"))
    assert (code, err) == (255, "")
    assert out.endswith(f"{CONTINUES}handled SIGUSR2 MainThread ['6.parquet']\n")
    assert words(run_dir) is None


def test_a_handler_that_does_not_requeue_leaves_it_to_the_last_words(
    tmp_path: Path, site: Path
) -> None:
    run_dir, _ = run_of(tmp_path, 9, answered=6)
    ending = "raise RuntimeError('Job not requeued because: timed-out too many times.')"
    code, out, _ = warned(run_dir, tmp_path, site, at=6, program=program(ending))
    assert code == 1
    assert "handled SIGUSR2" in out
    assert words(run_dir) == (
        Cause.TIMEOUT,
        "stopped before the time limit; 6 of 9 posts saved; "
        "Job not requeued because: timed-out too many times.",
    )


def test_without_requeues_the_handler_is_not_asked(tmp_path: Path, site: Path) -> None:
    run_dir, _ = run_of(tmp_path, 9, answered=6)
    how = program("sys.exit(-1)", requeue=False)
    code, out, _ = warned(run_dir, tmp_path, site, at=6, program=how)
    assert (code, "handled" in out) == (1, False)
    message = "stopped before the time limit; 6 of 9 posts saved"
    assert words(run_dir) == (Cause.TIMEOUT, message)


def test_sigterm_after_the_warning_leaves_no_words(tmp_path: Path, site: Path) -> None:
    """Slurm knows better why: the time limit, a person, another job's priority."""
    run_dir, _ = run_of(tmp_path, 9, answered=6)
    task = task_processes.start(order(run_dir), site, short_drain=True)
    task_processes.until(lambda: scripted_classifier.asked(tmp_path)[uri(6)], task)
    task.send_signal(signal.SIGUSR2)
    task.send_signal(signal.SIGTERM)
    assert task_processes.finished(task)[0] == 143
    assert words(run_dir) is None
    assert list(work_path(run_dir, 0).glob("*.in-hand")) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR2, 1)], ids=["TERM", "USR2"]
)
def test_a_service_that_hangs_holds_up_no_end(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Its requests time out after a minute; SIGKILL would come after half of one."""

    def hangs(text: str, nth: int) -> Fault | None:
        return None if text.endswith("0") else Fault(delay_s=60)

    with PerspectiveServer(faults=hangs) as server:
        classifier = task_processes.perspective(server.url) | {"timeout_seconds": 60.0}
        run_dir, _ = make_run(tmp_path, posts(30), classifier=classifier)
        task = task_processes.start(order(run_dir), short_drain=True, TEST_KEY=server.key)
        task_processes.until(lambda: server.requests == 3, task)
        task.send_signal(number)
        assert task_processes.finished(task, within=20)[0] == code
    assert task_processes.rows_in(work_path(run_dir, 0)) == 1


def test_a_shard_published_meanwhile_is_left_without_waiting_for_a_service_that_hangs(
    tmp_path: Path,
) -> None:
    def hangs(text: str, nth: int) -> Fault | None:
        return None if text.endswith("0") else Fault(delay_s=60)

    with PerspectiveServer(faults=hangs, latency_s=0.5) as server:
        classifier = task_processes.perspective(server.url) | {"timeout_seconds": 60.0}
        run_dir, run = make_run(tmp_path, posts(30), classifier=classifier, checkpoint_rows=1)
        task = task_processes.start(order(run_dir), TEST_KEY=server.key)
        task_processes.until(lambda: server.requests, task)
        columns = scripted_classifier.Scripted.columns
        output.publish(
            run_dir,
            run,
            0,
            ShardLabels(
                posts=read_shard(run_dir, 0),
                answers=answers_of([uri(i) for i in range(30)], columns, labelled),
                columns=columns,
                model="quicker",
                attempt=2,
            ),
        )
        code, out, err = task_processes.finished(task, within=20)
    assert (code, err) == (0, "")
    assert "another attempt has published this shard: leaving\n" in out
    assert list(work_path(run_dir, 0).iterdir()) == []


def labelled(at_uri: str) -> Answer:
    return Answer(at_uri, {"mood": "quick"})


def test_a_task_told_to_stop_while_it_asks_a_suspect_blames_nobody(
    tmp_path: Path, site: Path
) -> None:
    gate = tmp_path / "gate"
    run_dir, _ = run_of(tmp_path, 3, gate=str(gate))
    work = work_path(run_dir, 0)
    work.mkdir(parents=True)
    (work / "0001-aaaaaaaa.in-hand").write_bytes(bytes([1, 1, 1]))
    given = replace(order(run_dir, attempt=2), crashed="1")
    task = task_processes.start(given, site, short_drain=True)
    task_processes.until(lambda: list(work.glob("0002-*.trial")), task)
    task.send_signal(signal.SIGTERM)
    assert task_processes.finished(task)[0] == 143
    assert sorted(path.name for path in work.glob("*-*")) == ["0001-aaaaaaaa.in-hand"]
