"""What a task writes to its log and its last words."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import Cause, TaskError
from pipeline.model import Answer
from pipeline.run_files import last_words, output
from pipeline.run_files.manifest import shard_path, work_path
from pipeline.run_files.output import ShardLabels
from pipeline.worker.process import run_task
from tests.pipeline import scripted_classifier, task_processes
from tests.pipeline.run_builders import answers_of, make_run, order, posts, read_shard, uri
from tests.pipeline.worker.scripted_runs import last_words_of, scripted_run
from tests.waiting import wait_until


@pytest.fixture
def _in_this_process(
    classifier_path: Path, _restored_signals: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scripted classifier is installed in this process, which is no Slurm task."""
    monkeypatch.syspath_prepend(str(classifier_path))
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)


@pytest.mark.usefixtures("_in_this_process")
def test_the_log_of_a_task_that_publishes_its_shard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, _ = scripted_run(tmp_path, 6)
    run_task(order(run_dir))
    assert capsys.readouterr().out == ("shard 0: 6 posts, 0 already answered\nshard 0: published\n")
    run_task(order(run_dir, attempt=2))
    assert capsys.readouterr().out == "shard 0 is already published: nothing to do\n"


@pytest.mark.usefixtures("_in_this_process")
def test_the_log_of_a_task_after_crashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, _ = scripted_run(tmp_path, 1_000, rows=100)
    work = work_path(run_dir, 0)
    work.mkdir(parents=True)
    (work / "0001-aaaaaaaa.in-hand").write_bytes(bytes([1, 1, 1]) + bytes(997))
    (work / "0002-00001.trial").touch()
    run_task(replace(order(run_dir, attempt=3), crashed="1,2"))
    assert capsys.readouterr().out == (
        "shard 0: 1,000 posts, 0 already answered\n"
        "after crashes: 1 post set aside, 2 to be asked one at a time\n"
        "shard 0: published\n"
    )


def test_the_log_of_a_task_that_is_stopped(tmp_path: Path, classifier_path: Path) -> None:
    run_dir, _ = scripted_run(tmp_path, 200, seconds=0.05)
    task = task_processes.start(order(run_dir), classifier_path)
    wait_until(lambda: scripted_classifier.asked(tmp_path), task=task)
    task.send_signal(signal.SIGTERM)
    assert task_processes.finished(task)[1] == (
        "shard 0: 200 posts, 0 already answered\n"
        "stopping on request; the next attempt resumes shard 0\n"
    )


def test_the_last_words_of_a_task_that_is_warned_of_its_time_limit(
    tmp_path: Path, classifier_path: Path
) -> None:
    run_dir, _ = scripted_run(tmp_path, 1_500, answered=6)
    task = task_processes.start(order(run_dir), classifier_path, short_drain=True)
    wait_until(lambda: scripted_classifier.asked(tmp_path)[uri(6)], task=task)
    task.send_signal(signal.SIGUSR2)
    task_processes.finished(task)
    assert last_words_of(run_dir) == (
        Cause.TIMEOUT,
        "stopped before the time limit; 6 of 1,500 posts saved",
    )


def test_the_log_of_a_task_that_another_one_overtook(tmp_path: Path, classifier_path: Path) -> None:
    gate = tmp_path / "gate"
    run_dir, run = scripted_run(tmp_path, 4, rows=1, gate=str(gate), answered=1)
    slow = task_processes.start(order(run_dir), classifier_path)
    wait_until(lambda: scripted_classifier.asked(tmp_path), task=slow)
    columns = scripted_classifier.Scripted.columns
    labels = ShardLabels(
        posts=read_shard(run_dir, 0),
        answers=answers_of(
            [uri(row) for row in range(4)], columns, lambda at_uri: Answer(at_uri, {"mood": "x"})
        ),
        columns=columns,
        model="quicker",
        attempt=2,
    )
    output.publish(run_dir, run, 0, labels)
    gate.touch()
    assert task_processes.finished(slow)[1] == (
        "shard 0: 4 posts, 0 already answered\n"
        "another attempt has published this shard: leaving\n"
        "shard 0: published\n"
    )


@pytest.mark.usefixtures("_in_this_process")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "unknown",
            "the classifier answered for 'at://nobody', but no answer for it was expected: "
            "this breaks the classifier protocol",
        ),
        (
            "twice",
            f"the classifier answered for {uri(2)!r}, but no answer for it was expected: "
            "this breaks the classifier protocol",
        ),
        ("missing", f"the classifier left 2 posts without an answer, such as {uri(2)}"),
        (
            "columns_of_another",
            f"the classifier declares the columns mood but answered colour for {uri(2)}: "
            "this breaks the classifier protocol",
        ),
        ("quota", "HTTP 429"),
        ("leak", "GET /analyze?key=[key] failed"),
    ],
)
def test_the_last_words_after_a_classifier_failed(
    tmp_path: Path, script: str, message: str
) -> None:
    run_dir, _ = scripted_run(tmp_path, 6, script=script)
    with pytest.raises(SystemExit):
        run_task(order(run_dir))
    words = last_words_of(run_dir)
    assert words is not None
    assert words[1] == message


@pytest.mark.usefixtures("_in_this_process")
def test_the_last_words_of_a_task_with_the_order_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, _ = scripted_run(tmp_path, 6)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    with pytest.raises(SystemExit):
        run_task(order(run_dir))
    assert last_words_of(run_dir) == (
        Cause.REFUSED,
        "array task 7 received the order of array task 0",
    )


@pytest.mark.usefixtures("_in_this_process")
def test_the_last_words_about_a_shard_file_that_has_changed(tmp_path: Path) -> None:
    run_dir, run = scripted_run(tmp_path, 6)
    other_dir, other = make_run(tmp_path / "other", posts(6, first=1))
    path = shard_path(run_dir, 0)
    path.write_bytes(shard_path(other_dir, 0).read_bytes())
    with pytest.raises(SystemExit):
        run_task(order(run_dir))
    assert last_words_of(run_dir) == (
        Cause.REFUSED,
        f"{path} has changed since the run was planned: its sha256 is {other.shards[0].sha256}, "
        f"but must be {run.shards[0].sha256}",
    )


@pytest.mark.usefixtures("_in_this_process")
def test_the_last_words_after_another_shard_was_rejected(tmp_path: Path) -> None:
    classifier = scripted_classifier.options(tmp_path)
    run_dir, _ = make_run(tmp_path, posts(8), shards=4, classifier=classifier)
    with pytest.raises(SystemExit), last_words.recorded(run_dir, 1, 3, "qnode1"):
        raise TaskError(Cause.REFUSED, "HTTP 403: check the API key")
    with pytest.raises(SystemExit):
        run_task(order(run_dir))
    assert last_words_of(run_dir) == (
        Cause.REFUSED,
        "stopped at once: shard 3 was refused: HTTP 403: check the API key",
    )
