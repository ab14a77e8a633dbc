"""Tasks as processes: killed, told to stop, started twice."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.errors import Cause
from pipeline.model import Answer
from pipeline.run_files import last_words, output
from pipeline.run_files.manifest import Manifest, work_path
from pipeline.run_files.output import ShardLabels
from tests.pipeline import scripted_classifier, task_processes
from tests.pipeline.run_builders import answers_of, make_run, order, posts, read_shard, uri
from tests.servers.perspective import Fault, PerspectiveServer


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return scripted_classifier.install(tmp_path)


def run_of(folder: Path, count: int, *, rows: int, **options: Any) -> tuple[Path, Manifest]:
    classifier = scripted_classifier.options(folder, **options)
    return make_run(folder, posts(count), classifier=classifier, checkpoint_rows=rows)


def labels(run_dir: Path, run: Manifest) -> dict[str, str]:
    verdict, table = output.read(run_dir, run, 0)
    assert table is not None, verdict
    return dict(zip(table["uri"].to_pylist(), table["mood"].to_pylist(), strict=True))


TEXTS = {post.uri: post.text for post in posts(200)}


def test_a_valence_shard_is_labelled_by_a_process_of_its_own(tmp_path: Path) -> None:
    run_dir, run = make_run(tmp_path, posts(3))
    code, out, err = task_processes.run(order(run_dir))
    assert (code, out, err) == (
        0,
        "shard 0: 3 posts, 0 already answered\nshard 0: published\n",
        "",
    )
    _, table = output.read(run_dir, run, 0)
    assert table is not None
    assert table["valence_label"].to_pylist() == ["positive"] * 3


def test_a_killed_task_goes_on_from_its_parts_and_asks_nothing_again(
    tmp_path: Path, site: Path
) -> None:
    """Ten posts by parts of three: when it hangs at the eighth, six answers are on the disk."""
    gate = tmp_path / "gate"
    gate.touch()
    run_dir, run = run_of(tmp_path, 10, rows=3, answered=7, gate=str(gate))
    work = work_path(run_dir, 0)
    first = task_processes.start(order(run_dir), site)
    task_processes.until(
        lambda: task_processes.rows_in(work) == 6 and uri(7) in scripted_classifier.asked(tmp_path),
        first,
    )
    task_processes.kill(first)
    assert task_processes.rows_in(work) == 6
    assert output.verify(run_dir, run, 0) == output.Verdict()
    code, out, _ = task_processes.run(order(run_dir), site)
    assert (code, out) == (
        0,
        "shard 0: 10 posts, 6 already answered\nshard 0: published\n",
    )
    assert scripted_classifier.asked(tmp_path) == Counter(
        {uri(i): 2 if i in (6, 7) else 1 for i in range(10)}
    )
    assert labels(run_dir, run) == {uri(i): TEXTS[uri(i)] for i in range(10)}
    assert list(work.iterdir()) == []


def test_a_task_told_to_stop_keeps_all_answers_and_ends_with_143(
    tmp_path: Path, site: Path
) -> None:
    run_dir, run = run_of(tmp_path, 200, rows=1000, seconds=0.05)
    first = task_processes.start(order(run_dir), site)
    task_processes.until(lambda: len(scripted_classifier.asked(tmp_path)) >= 5, first)
    first.send_signal(signal.SIGTERM)
    code, out, err = task_processes.finished(first)
    asked = len(scripted_classifier.asked(tmp_path))
    assert (code, err) == (143, "")
    assert out == (
        "shard 0: 200 posts, 0 already answered\n"
        "stopping on request; the next attempt resumes shard 0\n"
    )
    assert 5 <= asked < 200
    assert task_processes.rows_in(work_path(run_dir, 0)) == asked
    assert output.verify(run_dir, run, 0) == output.Verdict()
    assert last_words.read(run_dir, 1, 0) is None


def test_two_tasks_of_one_shard_at_once_both_end_well_and_leave_one_output(
    tmp_path: Path, site: Path
) -> None:
    gate = tmp_path / "gate"
    run_dir, run = run_of(tmp_path, 60, rows=5, gate=str(gate), seconds=0.002)
    both = [task_processes.start(order(run_dir, attempt=attempt), site) for attempt in (1, 2)]
    task_processes.until(lambda: scripted_classifier.asked(tmp_path)[uri(0)] == 2)
    gate.touch()
    assert [task_processes.finished(task)[0] for task in both] == [0, 0]
    assert labels(run_dir, run) == {uri(i): TEXTS[uri(i)] for i in range(60)}
    assert [path.name for path in (run_dir / "outputs").iterdir()] == ["00000.parquet"]


def test_a_slower_task_leaves_when_another_has_published(tmp_path: Path, site: Path) -> None:
    gate = tmp_path / "gate"
    run_dir, run = run_of(tmp_path, 4, rows=1, gate=str(gate))
    slow = task_processes.start(order(run_dir), site)
    task_processes.until(lambda: scripted_classifier.asked(tmp_path), slow)
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
    code, out, _ = task_processes.finished(slow)
    assert (code, out) == (
        0,
        "shard 0: 4 posts, 0 already answered\n"
        "another attempt has published this shard: leaving\n"
        "shard 0: published\n",
    )
    assert set(labels(run_dir, run).values()) == {"quick"}


def test_what_perspective_was_paid_for_is_never_paid_for_again(tmp_path: Path) -> None:
    with PerspectiveServer(latency_s=0.2) as server:
        run_dir, run = make_run(
            tmp_path,
            posts(40),
            classifier=task_processes.perspective(server.url),
            checkpoint_rows=1,
        )
        work = work_path(run_dir, 0)
        first = task_processes.start(order(run_dir), TEST_KEY=server.key)
        task_processes.until(lambda: task_processes.rows_in(work) >= 10, first)
        task_processes.kill(first)
        parts = [pq.read_table(path)["uri"].to_pylist() for path in work.glob("[0-9]*.parquet")]
        kept = {TEXTS[uri] for part in parts for uri in part}
        assert 10 <= len(kept) < 40
        code, _, err = task_processes.run(order(run_dir), TEST_KEY=server.key)
        assert (code, err) == (0, "")
        # What was on its way when the task died is paid for again: two at most.
        again = {text for text, times in server.paid_by_text.items() if times > 1}
        assert not again & kept and len(again) <= 2
        assert server.paid == 40 + len(again)
        assert output.verify(run_dir, run, 0).verified


def test_a_task_told_to_stop_does_not_wait_for_a_service_that_hangs(tmp_path: Path) -> None:
    """Its requests time out after minutes, by default; SIGKILL comes after half a minute."""

    def hangs(text: str, nth: int) -> Fault | None:
        return None if text.endswith("0") else Fault(delay_s=60)

    with PerspectiveServer(faults=hangs) as server:
        classifier = task_processes.perspective(server.url) | {"timeout_seconds": 60.0}
        run_dir, _ = make_run(tmp_path, posts(30), classifier=classifier)
        task = task_processes.start(order(run_dir), short_drain=True, TEST_KEY=server.key)
        task_processes.until(lambda: server.requests == 3, task)
        task.send_signal(signal.SIGTERM)
        code, out, err = task_processes.finished(task, within=20)
    assert (code, err) == (143, "")
    assert out.endswith("stopping on request; the next attempt resumes shard 0\n")
    assert task_processes.rows_in(work_path(run_dir, 0)) == 1


def test_a_refused_key_is_said_in_the_last_words_and_never_shown(tmp_path: Path) -> None:
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
