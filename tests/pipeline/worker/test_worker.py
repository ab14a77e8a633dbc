"""A task labels one shard, from its order to its output, in this process."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from msgspec import structs

from pipeline import files
from pipeline.errors import Cause, TaskError
from pipeline.model import WorkOrder
from pipeline.run_files import heartbeat, last_words, manifest, output
from pipeline.run_files.manifest import output_path, shard_path, work_path
from pipeline.worker.process import run_task
from tests.pipeline import scripted_classifier, task_processes
from tests.pipeline.run_builders import (
    FIRST_TIME,
    SourcePost,
    UnsentPost,
    make_run,
    order,
    posts,
    read_shard,
    uri,
)
from tests.pipeline.worker.scripted_runs import labels_and_reasons, own_texts, scripted_run


@pytest.fixture(autouse=True)
def _on_a_node(
    classifier_path: Path, _restored_signals: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scripted classifier is installed in this process, which runs on node qnode7."""
    monkeypatch.syspath_prepend(str(classifier_path))
    monkeypatch.setenv("SLURMD_NODENAME", "qnode7")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)


def failure(work_order: WorkOrder) -> tuple[Cause, str]:
    """Cause and message of the last words of a task that must end with code 1."""
    with pytest.raises(SystemExit) as end:
        run_task(work_order)
    assert end.value.code == 1
    words = last_words.read(Path(work_order.run_dir), work_order.attempt, work_order.shard_index)
    assert words is not None
    assert words.node == "qnode7"
    return words.cause, words.message


def test_a_task_publishes_its_shard_and_leaves_no_parts(tmp_path: Path) -> None:
    run_dir, run = scripted_run(tmp_path, 6)
    run_task(order(run_dir))
    assert labels_and_reasons(run_dir, run) == own_texts(6)
    assert task_processes.rows_in(work_path(run_dir, 0)) == 0
    assert last_words.read(run_dir, 1, 0) is None


def test_a_copy_counts_as_soon_as_the_answer_that_it_gets(tmp_path: Path) -> None:
    """The quota is used up at the third question, and the next attempt asks about the rest."""
    numbers = [0, 0, 1, 0, 2, 3]
    rows = [
        post._replace(text=f"what a fine day {number}")
        for post, number in zip(posts(6), numbers, strict=True)
    ]
    classifier = scripted_classifier.options(tmp_path, script="quota")
    run_dir, run = make_run(tmp_path, rows, classifier=classifier, ask_each_text_once=True)
    assert failure(order(run_dir))[0] is Cause.THROTTLED
    beat = heartbeat.read(work_path(run_dir, 0), 1)
    assert beat is not None
    assert (beat.rows, beat.posts) == (4, 6)
    run_task(order(run_dir, attempt=2))
    assert scripted_classifier.asked(tmp_path) == {uri(0): 1, uri(2): 1, uri(4): 2, uri(5): 1}
    check, table = output.read(run_dir, run, 0)
    assert table is not None
    assert table["copied_from"].to_pylist() == [None, uri(0), None, uri(0), None, None]
    assert check.copied == 2


def test_a_published_shard_is_not_labeled_again(tmp_path: Path) -> None:
    run_dir, _ = scripted_run(tmp_path, 6)
    run_task(order(run_dir))
    run_task(order(run_dir, attempt=2))
    assert set(scripted_classifier.asked(tmp_path).values()) == {1}


def test_a_shard_whose_output_cannot_be_read_is_not_labeled_again(tmp_path: Path) -> None:
    run_dir, _ = scripted_run(tmp_path, 6)
    run_task(order(run_dir))
    path = output_path(run_dir, 0)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("/not/mounted")
    cause, message = failure(order(run_dir, attempt=2))
    assert cause is Cause.CRASHED
    assert str(path) in message
    assert set(scripted_classifier.asked(tmp_path).values()) == {1}
    assert path.is_symlink()


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
def test_a_text_with_too_few_visible_characters_is_not_sent(
    tmp_path: Path, text: str, sent: bool
) -> None:
    row = SourcePost(uri(0), text, FIRST_TIME)
    run_dir, run = make_run(tmp_path, [row], classifier=scripted_classifier.options(tmp_path))
    run_task(order(run_dir))
    assert labels_and_reasons(run_dir, run) == {
        uri(0): (text, None) if sent else (None, "text_too_short")
    }
    assert scripted_classifier.asked(tmp_path) == ({uri(0): 1} if sent else {})


@pytest.mark.parametrize("min_text_length", [0, 5])
def test_a_post_whose_shard_says_why_it_cannot_be_sent_gets_that_reason(
    tmp_path: Path, min_text_length: int
) -> None:
    rows = [
        UnsentPost(uri(0), "", FIRST_TIME, "no_text"),
        SourcePost(uri(1), "what a fine day", FIRST_TIME),
        UnsentPost(uri(2), "what a fine d\ufffdy", FIRST_TIME, "invalid_text"),
    ]
    classifier = scripted_classifier.options(tmp_path)
    run_dir, run = make_run(tmp_path, rows, classifier=classifier, min_text_length=min_text_length)
    run_task(order(run_dir))
    assert labels_and_reasons(run_dir, run) == {
        uri(0): (None, "no_text"),
        uri(1): ("what a fine day", None),
        uri(2): (None, "invalid_text"),
    }
    assert scripted_classifier.asked(tmp_path) == {uri(1): 1}


def test_a_shard_of_an_older_version_has_no_reasons(tmp_path: Path) -> None:
    run_dir, run = scripted_run(tmp_path, 3)
    path = shard_path(run_dir, 0)
    pq.write_table(read_shard(run_dir, 0).drop_columns(["reason"]), path)
    shard = structs.replace(run.shards[0], sha256=files.sha256_of(path))
    old = structs.replace(run, shards=(shard,))
    (run_dir / "manifest.json").unlink()
    manifest.write(run_dir, old)
    run_task(order(run_dir))
    assert output.verify(run_dir, old, 0).verified
    assert set(scripted_classifier.asked(tmp_path).values()) == {1}


def test_the_run_decides_the_shortest_text_that_is_sent(tmp_path: Path) -> None:
    rows = [SourcePost(uri(i), "a" * i, FIRST_TIME) for i in range(3)]
    classifier = scripted_classifier.options(tmp_path)
    run_dir, _ = make_run(tmp_path, rows, classifier=classifier, min_text_length=2)
    run_task(order(run_dir))
    assert scripted_classifier.asked(tmp_path) == {uri(2): 1}


@pytest.mark.parametrize(
    ("script", "cause", "kept"),
    [
        ("unknown", Cause.REFUSED, 2),
        ("twice", Cause.REFUSED, 3),
        ("missing", Cause.CRASHED, 4),
        ("columns_of_another", Cause.REFUSED, 2),
        ("quota", Cause.THROTTLED, 2),
        ("leak", Cause.CRASHED, 2),
    ],
)
def test_a_classifier_that_fails_ends_the_task_and_its_answers_are_kept(
    tmp_path: Path, script: str, cause: Cause, kept: int
) -> None:
    run_dir, run = scripted_run(tmp_path, 6, script=script)
    assert failure(order(run_dir))[0] is cause
    assert task_processes.rows_in(work_path(run_dir, 0)) == kept
    assert output.verify(run_dir, run, 0) == output.OutputCheck()


def test_no_file_or_log_of_a_task_contains_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, _ = scripted_run(tmp_path, 6, script="leak")
    failure(order(run_dir))
    left = [path.read_bytes() for path in run_dir.rglob("*") if path.is_file()]
    assert [scripted_classifier.KEY.encode() in content for content in left] == [False] * len(left)
    shown = capsys.readouterr()
    assert scripted_classifier.KEY not in shown.out + shown.err
    assert 'raise RuntimeError(f"GET /analyze?key={KEY} failed")' in shown.err


def test_an_order_for_another_array_task_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, run = scripted_run(tmp_path, 6)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    assert failure(order(run_dir))[0] is Cause.REFUSED
    assert output.verify(run_dir, run, 0) == output.OutputCheck()
    run_task(replace(order(run_dir), array_task_index=7))
    assert output.verify(run_dir, run, 0).verified


def test_a_shard_file_that_has_changed_is_rejected(tmp_path: Path) -> None:
    run_dir, _ = scripted_run(tmp_path, 6)
    _, other = make_run(tmp_path / "other", posts(6, first=1))
    path = shard_path(run_dir, 0)
    path.write_bytes(shard_path(tmp_path / "other" / "runs" / other.run_id, 0).read_bytes())
    assert failure(order(run_dir))[0] is Cause.REFUSED
    assert scripted_classifier.asked(tmp_path) == {}


def test_a_run_with_a_damaged_manifest_is_rejected(tmp_path: Path) -> None:
    run_dir, _ = scripted_run(tmp_path, 6)
    (run_dir / "manifest.json").write_text("{}")
    assert failure(order(run_dir)) == (
        Cause.REFUSED,
        f"{run_dir / 'manifest.json'} is damaged: it is not a manifest of this program",
    )


def test_a_classifier_that_is_not_installed_on_the_node_is_rejected(tmp_path: Path) -> None:
    run_dir, _ = make_run(tmp_path, posts(1), classifier={"type": "mine"})
    cause, message = failure(order(run_dir))
    assert cause is Cause.REFUSED
    assert message.startswith("classifier.type: there is no 'mine'; installed: ")


def test_a_shard_without_texts_to_send_is_published_without_asking(tmp_path: Path) -> None:
    rows = [SourcePost(uri(i), "", FIRST_TIME) for i in range(3)]
    run_dir, run = make_run(tmp_path, rows, classifier=scripted_classifier.options(tmp_path))
    run_task(order(run_dir))
    assert labels_and_reasons(run_dir, run) == {uri(i): (None, "text_too_short") for i in range(3)}


def test_a_task_asks_nothing_after_another_shard_was_rejected(tmp_path: Path) -> None:
    run_dir, _ = make_run(
        tmp_path, posts(8), shards=4, classifier=scripted_classifier.options(tmp_path)
    )
    with pytest.raises(SystemExit), last_words.recorded(run_dir, 1, 3, "qnode1"):
        raise TaskError(Cause.REFUSED, "HTTP 403: check the API key")
    for index in (0, 1):
        cause, message = failure(order(run_dir, index))
        assert cause is Cause.REFUSED
        assert message.endswith("HTTP 403: check the API key")
    words = last_words.read(run_dir, 1, 1)
    assert words is not None
    assert words.stops_run
    assert scripted_classifier.asked(tmp_path) == {}
    run_task(order(run_dir, 0, attempt=2))
    assert scripted_classifier.asked(tmp_path) == {uri(0): 1, uri(1): 1}


def test_a_rejection_of_one_shard_alone_stops_no_other(tmp_path: Path) -> None:
    run_dir, run = make_run(
        tmp_path, posts(4), shards=2, classifier=scripted_classifier.options(tmp_path)
    )
    shard_path(run_dir, 1).write_bytes(b"another file")
    assert failure(order(run_dir, 1))[0] is Cause.REFUSED
    run_task(order(run_dir, 0))
    assert output.verify(run_dir, run, 0).verified


@pytest.mark.parametrize("script", ["label", "quota"])
def test_a_classifier_is_closed_whichever_way_its_task_ends(tmp_path: Path, script: str) -> None:
    closed = tmp_path / "closed"
    run_dir, _ = scripted_run(tmp_path, 6, script=script, closed=str(closed))
    with contextlib.suppress(SystemExit):
        run_task(order(run_dir))
    assert len(closed.read_text().splitlines()) == 1


def test_answers_are_on_the_disk_before_the_classifier_is_closed(tmp_path: Path) -> None:
    """A classifier may take longer to end its server than Slurm waits before SIGKILL."""
    closed = tmp_path / "closed"
    run_dir, run = scripted_run(tmp_path, 6, closed=str(closed))
    run_task(order(run_dir))
    (kept,) = closed.read_text().split()
    assert kept == f"closed:{run.posts}"
