"""A task process may be killed, stopped or started twice, and pays for no answer twice."""

import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from pipeline.errors import Cause
from pipeline.model import Answer
from pipeline.run_files import last_words, output
from pipeline.run_files.manifest import work_path
from pipeline.run_files.output import ShardLabels
from tests.pipeline import scripted_classifier, task_processes
from tests.pipeline.run_builders import answers_of, make_run, order, posts, read_shard, uri
from tests.pipeline.worker.scripted_runs import labels_and_reasons, own_texts, scripted_run
from tests.servers.perspective import Fault, PerspectiveServer
from tests.waiting import wait_until


def test_a_process_labels_a_valence_shard(tmp_path: Path) -> None:
    run_dir, run = make_run(tmp_path, posts(3))
    code, _, err = task_processes.run(order(run_dir))
    assert (code, err) == (0, "")
    _, table = output.read(run_dir, run, 0)
    assert table is not None
    assert table["valence_label"].to_pylist() == ["positive"] * 3


@pytest.mark.parametrize("rows", [3, 1000])
def test_a_killed_task_loses_only_what_is_in_flight(
    tmp_path: Path, classifier_path: Path, rows: int
) -> None:
    """When it hangs at the eighth of ten posts, seven answers are on the disk."""
    run_dir, run = scripted_run(tmp_path, 10, rows=rows, answered=7)
    work = work_path(run_dir, 0)
    first = task_processes.start(order(run_dir), classifier_path)
    wait_until(lambda: uri(7) in scripted_classifier.asked(tmp_path), task=first)
    task_processes.kill(first)
    assert task_processes.rows_in(work) == 7
    assert output.verify(run_dir, run, 0) == output.OutputCheck()
    code, out, _ = task_processes.run(order(run_dir), classifier_path)
    assert (code, task_processes.already_answered(out)) == (0, 7)
    assert scripted_classifier.asked(tmp_path) == Counter(
        {uri(i): 2 if i == 7 else 1 for i in range(10)}
    )
    assert labels_and_reasons(run_dir, run) == own_texts(10)
    assert list(work.iterdir()) == []


def test_a_task_that_gets_sigterm_keeps_all_answers_and_exits_with_143(
    tmp_path: Path, classifier_path: Path
) -> None:
    run_dir, run = scripted_run(tmp_path, 200, rows=1000, seconds=0.05)
    first = task_processes.start(order(run_dir), classifier_path)
    wait_until(lambda: len(scripted_classifier.asked(tmp_path)) >= 5, task=first)
    first.send_signal(signal.SIGTERM)
    code, _, err = task_processes.finished(first)
    asked = len(scripted_classifier.asked(tmp_path))
    assert (code, err) == (143, "")
    assert 5 <= asked < 200
    assert task_processes.rows_in(work_path(run_dir, 0)) == asked
    assert output.verify(run_dir, run, 0) == output.OutputCheck()
    assert last_words.read(run_dir, 1, 0) is None


def freeze(task: "subprocess.Popen[str]") -> None:
    """Stop a task, and return when it has stopped: until then, its other threads go on."""
    task.send_signal(signal.SIGSTOP)
    threads = Path(f"/proc/{task.pid}/task")

    def states() -> set[str]:
        stats = [(thread / "stat").read_text() for thread in threads.iterdir()]
        return {stat.rpartition(")")[2].split()[0] for stat in stats}

    wait_until(lambda: states() == {"T"}, "all threads of the task have stopped")


def test_two_tasks_at_once_do_not_harm_each_other(tmp_path: Path, classifier_path: Path) -> None:
    """The quicker one publishes and deletes the slower one's files while it still runs."""
    gate = tmp_path / "gate"
    run_dir, run = scripted_run(tmp_path, 30, rows=5, gate=str(gate), seconds=0.02)
    work = work_path(run_dir, 0)
    slow = task_processes.start(order(run_dir), classifier_path)
    wait_until(lambda: scripted_classifier.asked(tmp_path)[uri(0)] == 1, task=slow)
    quick = task_processes.start(order(run_dir, attempt=2), classifier_path)
    wait_until(lambda: scripted_classifier.asked(tmp_path)[uri(0)] == 2, task=quick)
    freeze(slow)
    gate.touch()
    assert task_processes.finished(quick)[0] == 0
    assert list(work.iterdir()) == []
    slow.send_signal(signal.SIGCONT)
    code, out, err = task_processes.finished(slow)
    assert (code, err) == (0, "")
    assert out.endswith("shard 0: published\n")
    assert labels_and_reasons(run_dir, run) == own_texts(30)
    assert list(work.iterdir()) == []
    assert Counter(path.name for path in (run_dir / "outputs").iterdir()) == {"00000.parquet": 1}


def test_a_slower_task_leaves_once_another_has_published(
    tmp_path: Path, classifier_path: Path
) -> None:
    gate = tmp_path / "gate"
    run_dir, run = scripted_run(tmp_path, 4, rows=1, gate=str(gate))
    slow = task_processes.start(order(run_dir), classifier_path)
    wait_until(lambda: scripted_classifier.asked(tmp_path), task=slow)
    uris, columns = [uri(i) for i in range(4)], scripted_classifier.Scripted.columns
    output.publish(
        run_dir,
        run,
        0,
        ShardLabels(
            posts=read_shard(run_dir, 0),
            answers=answers_of(uris, columns, lambda at_uri: Answer(at_uri, {"mood": "quick"})),
            columns=columns,
            model="quicker",
            attempt=2,
        ),
    )
    gate.touch()
    assert task_processes.finished(slow)[0] == 0
    assert set(labels_and_reasons(run_dir, run).values()) == {("quick", None)}


@pytest.mark.parametrize("rows", [1, 500])
def test_a_killed_task_pays_again_for_no_more_than_it_had_in_flight(
    tmp_path: Path, rows: int
) -> None:
    with PerspectiveServer(latency_s=0.02) as server:
        run_dir, run = make_run(
            tmp_path,
            posts(200),
            classifier=task_processes.perspective(server.url, 4),
            checkpoint_rows=rows,
        )
        first = task_processes.start(order(run_dir), TEST_KEY=server.key)
        wait_until(lambda: server.paid >= 100, task=first)
        task_processes.kill(first)
        code, out, err = task_processes.run(order(run_dir), TEST_KEY=server.key)
        assert (code, err) == (0, "")
        assert 96 <= task_processes.already_answered(out) < 200
        assert 200 <= server.paid <= 204
        assert output.verify(run_dir, run, 0).verified


def test_a_task_that_gets_sigterm_does_not_wait_for_a_hanging_service(tmp_path: Path) -> None:
    """Its requests time out after minutes, by default; SIGKILL comes after half a minute."""

    def hangs(text: str, nth: int) -> Fault | None:
        return None if text.endswith("0") else Fault(delay_s=600)

    with PerspectiveServer(faults=hangs) as server:
        classifier = task_processes.perspective(server.url) | {"timeout_seconds": 600.0}
        run_dir, _ = make_run(tmp_path, posts(30), classifier=classifier)
        task = task_processes.start(order(run_dir), short_drain=True, TEST_KEY=server.key)
        wait_until(lambda: server.requests == 3, task=task)
        task.send_signal(signal.SIGTERM)
        code, _, err = task_processes.finished(task)
    assert (code, err) == (143, "")
    assert task_processes.rows_in(work_path(run_dir, 0)) == 1


def test_a_rejected_key_is_reported_in_the_last_words_without_the_key(tmp_path: Path) -> None:
    key = "AIzaSy-a-key-that-is-refused"
    with PerspectiveServer(key="another") as server:
        run_dir, _ = make_run(tmp_path, posts(3), classifier=task_processes.perspective(server.url))
        code, out, err = task_processes.run(order(run_dir), TEST_KEY=key)
    assert code == 1
    words = last_words.read(run_dir, 1, 0)
    assert words is not None
    assert words.cause is Cause.REFUSED
    assert "check the API key" in words.message
    left = [path.read_bytes() for path in run_dir.rglob("*") if path.is_file()]
    assert key not in out + err
    assert [key.encode() in content for content in left] == [False] * len(left)
