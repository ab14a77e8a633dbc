"""A task saves its answers when USR2 warns of its time limit, or SIGTERM ends it."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Cause
from pipeline.model import Answer
from pipeline.run_files import heartbeat, output
from pipeline.run_files.manifest import work_path
from pipeline.run_files.output import ShardLabels
from tests.pipeline import scripted_classifier, task_processes
from tests.pipeline.run_builders import answers_of, make_run, order, posts, read_shard, uri
from tests.pipeline.worker.scripted_runs import last_words_of, scripted_run
from tests.servers.perspective import Fault, PerspectiveServer
from tests.waiting import wait_until

# As submitit does, install a handler for USR2 before the worker starts. It prints which files are
# in the shard's folder when it is called, and in which thread.
FORMER_HANDLER = """
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


def warned(run_dir: Path, folder: Path, site: Path, *, at: int, **how: Any) -> tuple[int, str, str]:
    """Start a task and warn it once its classifier was asked about post `at`."""
    task = task_processes.start(order(run_dir), site, **how)
    wait_until(lambda: scripted_classifier.asked(folder)[uri(at)], task=task)
    task.send_signal(signal.SIGUSR2)
    return task_processes.finished(task)


def program(ending: str, *, requeue: bool = True) -> str:
    """A worker with a former handler that ends in this way."""
    return FORMER_HANDLER.format(ending=ending, requeue=requeue)


def test_a_task_warned_of_its_time_limit_saves_its_answers_and_leaves_last_words(
    tmp_path: Path, classifier_path: Path
) -> None:
    run_dir, run = scripted_run(tmp_path, 1500, seconds=0.02)
    code, _, err = warned(run_dir, tmp_path, classifier_path, at=5)
    kept = task_processes.rows_in(work_path(run_dir, 0))
    assert code == 1
    assert 5 <= kept == len(scripted_classifier.asked(tmp_path)) < 1500
    words = last_words_of(run_dir)
    assert words is not None
    assert words[0] is Cause.TIMEOUT
    assert words[1] in err
    assert output.verify(run_dir, run, 0) == output.OutputCheck()
    assert list(work_path(run_dir, 0).glob("*.in-hand")) == []
    beat = heartbeat.read(work_path(run_dir, 0), 1)
    assert beat is not None
    assert (beat.rows, beat.posts) == (kept, 1500)


def test_a_task_with_all_answers_publishes_despite_the_warning(
    tmp_path: Path, classifier_path: Path
) -> None:
    gate = tmp_path / "gate"
    run_dir, run = scripted_run(tmp_path, 1, gate=str(gate))
    task = task_processes.start(order(run_dir), classifier_path)
    wait_until(lambda: scripted_classifier.asked(tmp_path), task=task)
    task.send_signal(signal.SIGUSR2)
    gate.touch()
    assert task_processes.finished(task)[0] == 0
    assert output.verify(run_dir, run, 0).verified
    assert last_words_of(run_dir) is None


def test_the_former_handler_may_requeue_once_all_answers_are_saved(
    tmp_path: Path, classifier_path: Path
) -> None:
    """Although the classifier hangs, and in the main thread, with the parts written."""
    run_dir, _ = scripted_run(tmp_path, 9, answered=6)
    code, out, err = warned(
        run_dir, tmp_path, classifier_path, at=6, program=program("sys.exit(-1)")
    )
    assert (code, err) == (255, "")
    assert out.endswith("\nhandled SIGUSR2 MainThread ['6.parquet']\n")
    assert last_words_of(run_dir) is None


def test_last_words_say_why_the_former_handler_did_not_requeue(
    tmp_path: Path, classifier_path: Path
) -> None:
    run_dir, _ = scripted_run(tmp_path, 9, answered=6)
    ending = "raise RuntimeError('Job not requeued because: timed-out too many times.')"
    code, out, _ = warned(run_dir, tmp_path, classifier_path, at=6, program=program(ending))
    assert code == 1
    assert "handled SIGUSR2" in out
    words = last_words_of(run_dir)
    assert words is not None
    assert words[0] is Cause.TIMEOUT
    assert words[1].endswith("; Job not requeued because: timed-out too many times.")


def test_without_requeues_the_former_handler_is_not_called(
    tmp_path: Path, classifier_path: Path
) -> None:
    run_dir, _ = scripted_run(tmp_path, 9, answered=6)
    how = program("sys.exit(-1)", requeue=False)
    code, out, _ = warned(run_dir, tmp_path, classifier_path, at=6, program=how)
    assert (code, "handled" in out) == (1, False)
    words = last_words_of(run_dir)
    assert words is not None
    assert words[0] is Cause.TIMEOUT


def test_sigterm_after_the_warning_leaves_no_last_words(
    tmp_path: Path, classifier_path: Path
) -> None:
    """Slurm knows better why: the time limit, a person, another job's priority."""
    run_dir, _ = scripted_run(tmp_path, 9, answered=6)
    task = task_processes.start(order(run_dir), classifier_path, short_drain=True)
    wait_until(lambda: scripted_classifier.asked(tmp_path)[uri(6)], task=task)
    task.send_signal(signal.SIGUSR2)
    task.send_signal(signal.SIGTERM)
    assert task_processes.finished(task)[0] == 143
    assert last_words_of(run_dir) is None
    assert list(work_path(run_dir, 0).glob("*.in-hand")) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR2, 1)], ids=["TERM", "USR2"]
)
def test_a_hanging_service_does_not_delay_the_end(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Its requests time out after ten minutes, and SIGKILL would come after 30 s."""

    def hangs(text: str, nth: int) -> Fault | None:
        return None if text.endswith("0") else Fault(delay_s=600)

    with PerspectiveServer(faults=hangs) as server:
        classifier = task_processes.perspective(server.url) | {"timeout_seconds": 600.0}
        run_dir, _ = make_run(tmp_path, posts(30), classifier=classifier)
        task = task_processes.start(order(run_dir), short_drain=True, TEST_KEY=server.key)
        wait_until(lambda: server.requests == 3, task=task)
        task.send_signal(number)
        assert task_processes.finished(task)[0] == code
    assert task_processes.rows_in(work_path(run_dir, 0)) == 1


def test_a_task_leaves_a_shard_published_meanwhile_although_its_service_hangs(
    tmp_path: Path,
) -> None:
    def hangs(text: str, nth: int) -> Fault | None:
        return None if text.endswith("0") else Fault(delay_s=600)

    with PerspectiveServer(faults=hangs, latency_s=0.5) as server:
        classifier = task_processes.perspective(server.url) | {"timeout_seconds": 600.0}
        run_dir, run = make_run(tmp_path, posts(30), classifier=classifier, checkpoint_rows=1)
        task = task_processes.start(order(run_dir), TEST_KEY=server.key)
        wait_until(lambda: server.requests, task=task)
        columns = scripted_classifier.Scripted.columns
        output.publish(
            run_dir,
            run,
            0,
            ShardLabels(
                posts=read_shard(run_dir, 0),
                answers=answers_of([uri(i) for i in range(30)], columns, labeled),
                columns=columns,
                model="quicker",
                attempt=2,
            ),
        )
        code, _, err = task_processes.finished(task)
    assert (code, err) == (0, "")
    assert list(work_path(run_dir, 0).iterdir()) == []


def labeled(at_uri: str) -> Answer:
    return Answer(at_uri, {"mood": "quick"})


def test_a_task_stopped_during_a_solo_attempt_blames_no_post(
    tmp_path: Path, classifier_path: Path
) -> None:
    gate = tmp_path / "gate"
    run_dir, _ = scripted_run(tmp_path, 3, gate=str(gate))
    work = work_path(run_dir, 0)
    work.mkdir(parents=True)
    (work / "0001-aaaaaaaa.in-hand").write_bytes(bytes([1, 1, 1]))
    second_attempt = replace(order(run_dir, attempt=2), crashed="1")
    task = task_processes.start(second_attempt, classifier_path, short_drain=True)
    wait_until(lambda: list(work.glob("0002-*.trial")), task=task)
    task.send_signal(signal.SIGTERM)
    assert task_processes.finished(task)[0] == 143
    assert sorted(path.name for path in work.glob("*-*")) == ["0001-aaaaaaaa.in-hand"]
