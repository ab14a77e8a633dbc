"""One task from its order to its output, in this process."""

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Cause, TaskError
from pipeline.model import WorkOrder
from pipeline.run_files import last_words, output
from pipeline.run_files.manifest import Manifest, shard_path, work_path
from pipeline.worker.process import run_task
from tests.pipeline import scripted_classifier, task_processes
from tests.pipeline.run_builders import FIRST_TIME, SourcePost, make_run, order, posts, uri


@pytest.fixture(autouse=True)
def as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripted classifier installed, and this process's signals put back."""
    monkeypatch.syspath_prepend(str(scripted_classifier.install(tmp_path)))
    monkeypatch.setenv("SLURMD_NODENAME", "qnode7")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run_of(folder: Path, count: int = 6, **options: Any) -> tuple[Path, Manifest]:
    return make_run(folder, posts(count), classifier=scripted_classifier.options(folder, **options))


def labels(run_dir: Path, run: Manifest) -> dict[str, tuple[str | None, str | None]]:
    """Label and reason of each post, from a verified output."""
    verdict, table = output.read(run_dir, run, 0)
    assert table is not None, verdict
    columns = (table[name].to_pylist() for name in ("uri", "mood", "reason"))
    return {at_uri: (mood, reason) for at_uri, mood, reason in zip(*columns, strict=True)}


def death(given: WorkOrder) -> tuple[Cause, str]:
    """Cause and message of the last words of a task that must end with code 1."""
    with pytest.raises(SystemExit) as end:
        run_task(given)
    assert end.value.code == 1
    words = last_words.read(Path(given.run_dir), given.attempt, given.shard_index)
    assert words is not None
    assert words.node == "qnode7"
    return words.cause, words.message


def test_a_task_publishes_its_shard_and_leaves_no_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, run = run_of(tmp_path)
    run_task(order(run_dir))
    assert labels(run_dir, run) == {post.uri: (post.text, None) for post in posts(6)}
    assert task_processes.rows_in(work_path(run_dir, 0)) == 0
    assert last_words.read(run_dir, 1, 0) is None
    assert capsys.readouterr().out == ("shard 0: 6 posts, 0 already answered\nshard 0: published\n")


def test_a_shard_that_has_its_output_is_not_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, _ = run_of(tmp_path)
    run_task(order(run_dir))
    capsys.readouterr()
    run_task(order(run_dir, attempt=2))
    assert capsys.readouterr().out == "shard 0 is already published: nothing to do\n"
    assert set(scripted_classifier.asked(tmp_path).values()) == {1}


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("", False),
        ("hiya", False),
        ("  hiya\n\u3000", False),
        ("\u200bhiya\u200b", False),
        ("\u200b \u200d \ufeff hiya \u200b\n\u2060", False),
        ("\u200b\u200c\u200d\ufeff\u2060", False),
        ("hello", True),
        ("\u200bhello", True),
        ("😀😀😀😀😀", True),
    ],
)
def test_a_text_that_shows_too_few_characters_is_not_sent(
    tmp_path: Path, text: str, sent: bool
) -> None:
    row = SourcePost(uri(0), text, FIRST_TIME)
    run_dir, run = make_run(tmp_path, [row], classifier=scripted_classifier.options(tmp_path))
    run_task(order(run_dir))
    assert labels(run_dir, run) == {uri(0): (text, None) if sent else (None, "text_too_short")}
    assert scripted_classifier.asked(tmp_path) == ({uri(0): 1} if sent else {})


def test_the_shortest_text_that_is_sent_is_the_runs(tmp_path: Path) -> None:
    rows = [SourcePost(uri(i), "a" * i, FIRST_TIME) for i in range(3)]
    classifier = scripted_classifier.options(tmp_path)
    run_dir, _ = make_run(tmp_path, rows, classifier=classifier, min_text_length=2)
    run_task(order(run_dir))
    assert scripted_classifier.asked(tmp_path) == {uri(2): 1}


PROTOCOL = "this breaks the classifier protocol"


@pytest.mark.parametrize(
    ("script", "cause", "message", "kept"),
    [
        (
            "unknown",
            Cause.REFUSED,
            "the classifier answered for 'at://nobody', which does not wait for an answer: "
            f"{PROTOCOL}",
            2,
        ),
        (
            "twice",
            Cause.REFUSED,
            f"the classifier answered for {uri(2)!r}, which does not wait for an answer: "
            f"{PROTOCOL}",
            3,
        ),
        (
            "missing",
            Cause.CRASHED,
            f"the classifier left 2 posts without an answer, such as {uri(2)}",
            4,
        ),
        (
            "columns_of_another",
            Cause.REFUSED,
            f"the classifier declares the columns mood but answered colour for {uri(2)}: "
            f"{PROTOCOL}",
            2,
        ),
        ("quota", Cause.THROTTLED, "HTTP 429", 2),
        ("leak", Cause.CRASHED, "GET /analyze?key=[key] failed", 2),
    ],
)
def test_a_classifier_that_fails_ends_the_task_and_what_it_had_answered_is_kept(
    tmp_path: Path, script: str, cause: Cause, message: str, kept: int
) -> None:
    run_dir, run = run_of(tmp_path, script=script)
    assert death(order(run_dir)) == (cause, message)
    assert task_processes.rows_in(work_path(run_dir, 0)) == kept
    assert output.verify(run_dir, run, 0) == output.Verdict()


def test_the_key_is_in_nothing_that_a_task_leaves_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, _ = run_of(tmp_path, script="leak")
    death(order(run_dir))
    left = [path.read_bytes() for path in run_dir.rglob("*") if path.is_file()]
    assert [scripted_classifier.KEY.encode() in content for content in left] == [False] * len(left)
    shown = capsys.readouterr()
    assert scripted_classifier.KEY not in shown.out + shown.err
    assert 'raise RuntimeError(f"GET /analyze?key={KEY} failed")' in shown.err


def test_an_order_for_another_array_task_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, run = run_of(tmp_path)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    assert death(order(run_dir)) == (
        Cause.REFUSED,
        "array task 7 received the order of array task 0",
    )
    assert output.verify(run_dir, run, 0) == output.Verdict()
    run_task(replace(order(run_dir), array_task_index=7))
    assert output.verify(run_dir, run, 0).verified


def test_a_shard_file_that_is_not_the_planned_one_is_refused(tmp_path: Path) -> None:
    run_dir, run = run_of(tmp_path)
    _, other = make_run(tmp_path / "other", posts(6, first=1))
    path = shard_path(run_dir, 0)
    path.write_bytes(shard_path(tmp_path / "other" / "runs" / other.run_id, 0).read_bytes())
    assert death(order(run_dir)) == (
        Cause.REFUSED,
        f"{path} has changed since the run was planned: its sha256 is {other.shards[0].sha256}, "
        f"the manifest has {run.shards[0].sha256}",
    )
    assert scripted_classifier.asked(tmp_path) == {}


def test_a_run_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    run_dir, _ = run_of(tmp_path)
    (run_dir / "manifest.json").write_text("{}")
    assert death(order(run_dir)) == (
        Cause.REFUSED,
        f"{run_dir / 'manifest.json'} is damaged: it is not a manifest of this program",
    )


def test_a_classifier_that_is_not_installed_on_the_node_is_refused(tmp_path: Path) -> None:
    run_dir, _ = make_run(tmp_path, posts(1), classifier={"type": "mine"})
    cause, message = death(order(run_dir))
    assert cause is Cause.REFUSED
    assert message.startswith("classifier.type: there is no 'mine'; installed: ")


def test_a_shard_without_a_text_to_send_needs_no_answer(tmp_path: Path) -> None:
    rows = [SourcePost(uri(i), "", FIRST_TIME) for i in range(3)]
    run_dir, run = make_run(tmp_path, rows, classifier=scripted_classifier.options(tmp_path))
    run_task(order(run_dir))
    assert labels(run_dir, run) == {uri(i): (None, "text_too_short") for i in range(3)}


def test_a_task_that_starts_after_another_shard_was_refused_asks_nothing(tmp_path: Path) -> None:
    run_dir, _ = make_run(
        tmp_path, posts(8), shards=4, classifier=scripted_classifier.options(tmp_path)
    )
    with pytest.raises(SystemExit), last_words.recorded(run_dir, 1, 3, "qnode1"):
        raise TaskError(Cause.REFUSED, "HTTP 403: check the API key")
    message = "stopped at once: shard 3 was refused: HTTP 403: check the API key"
    assert death(order(run_dir, 0)) == (Cause.REFUSED, message)
    assert death(order(run_dir, 1)) == (Cause.REFUSED, message)
    words = last_words.read(run_dir, 1, 1)
    assert words is not None
    assert words.stops_run
    assert scripted_classifier.asked(tmp_path) == {}
    run_task(order(run_dir, 0, attempt=2))
    assert scripted_classifier.asked(tmp_path) == {uri(0): 1, uri(1): 1}


def test_a_refusal_of_one_shard_alone_stops_no_other(tmp_path: Path) -> None:
    run_dir, run = make_run(
        tmp_path, posts(4), shards=2, classifier=scripted_classifier.options(tmp_path)
    )
    shard_path(run_dir, 1).write_bytes(b"another file")
    assert death(order(run_dir, 1))[0] is Cause.REFUSED
    run_task(order(run_dir, 0))
    assert output.verify(run_dir, run, 0).verified


@pytest.mark.parametrize("script", ["label", "quota"])
def test_a_classifier_is_closed_however_its_task_ends(tmp_path: Path, script: str) -> None:
    closed = tmp_path / "closed"
    run_dir, _ = run_of(tmp_path, script=script, closed=str(closed))
    with contextlib.suppress(SystemExit):
        run_task(order(run_dir))
    assert len(closed.read_text().splitlines()) == 1


def test_what_is_paid_for_is_on_the_disk_before_the_classifier_is_closed(tmp_path: Path) -> None:
    """To end a server of its own may take longer than Slurm waits before SIGKILL."""
    closed = tmp_path / "closed"
    run_dir, run = run_of(tmp_path, closed=str(closed))
    run_task(order(run_dir))
    (kept,) = closed.read_text().split()
    assert kept == f"closed:{run.posts}"
