"""A task's sign of life: how it is written, read, and never in the way."""

import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.run_files import heartbeat
from pipeline.run_files.heartbeat import (
    LONGEST_ERROR,
    AnswerSums,
    Heartbeat,
    HeartbeatWriter,
    TaskActivity,
)
from pipeline.run_files.manifest import work_path
from tests.pipeline import scripted_classifier, task_processes
from tests.pipeline.conftest import fill
from tests.pipeline.run_builders import make_run, order, posts
from tests.waiting import wait_until


def heart(folder: Path, *, rows: int = 0, trouble: str = "") -> HeartbeatWriter:
    return HeartbeatWriter(
        heartbeat.path_of(folder, 3),
        posts=100,
        rows=rows,
        node="qnode7",
        activity=lambda: TaskActivity(trouble=trouble),
    )


def read(folder: Path) -> Heartbeat:
    found = heartbeat.read(folder, 3)
    assert found is not None
    return found


def test_it_beats_when_a_life_starts(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    heart(tmp_path / "00007", rows=40, trouble="slow endpoint")
    beat = read(tmp_path / "00007")
    assert before <= beat.written_at <= datetime.now(UTC)
    assert abs(beat.progress_at - beat.written_at) < timedelta(seconds=1)
    assert beat == Heartbeat(
        written_at=beat.written_at,
        progress_at=beat.progress_at,
        rows=40,
        posts=100,
        rate_per_minute=0.0,
        last_error="slow endpoint",
        node="qnode7",
        unlabelable={},
        began_at=beat.written_at,
    )
    assert [path.name for path in (tmp_path / "00007").iterdir()] == ["0003.heartbeat.json"]


def test_a_long_error_keeps_what_failed_and_why(tmp_path: Path) -> None:
    path = "/kellogg/proj/" + "lab" * 100
    heart(tmp_path, rows=40, trouble=f"cannot write {path}: No space left on device")
    error = read(tmp_path).last_error
    assert len(error) == LONGEST_ERROR
    assert error.startswith("cannot write /kellogg/proj/lab")
    assert error.endswith("lab: No space left on device")


def test_it_beats_every_fifteen_seconds_with_the_last_progress_and_the_recent_rate(
    tmp_path: Path,
) -> None:
    one = heart(tmp_path, rows=40)
    start = time.monotonic()
    for passed in (1, 3, 7, 15):  # it begins with shorter pauses
        one.tick(start + passed + 0.1, 40)
    one.tick(start + 30, 50)
    assert read(tmp_path).rows == 40
    one.tick(start + 60, 50)
    first = read(tmp_path)
    assert (first.rows, first.rate_per_minute) == (50, pytest.approx(10, abs=0.1))
    assert round((first.written_at - first.progress_at).total_seconds()) == 30
    for beat in range(1, 41):
        one.tick(start + 60 + 15 * beat, 50 + beat)
    assert read(tmp_path).rate_per_minute == pytest.approx(4)


def test_its_rate_says_little_in_the_first_seconds(tmp_path: Path) -> None:
    """A quota lets a burst through, and then holds the requests back."""
    one = heart(tmp_path)
    start = time.monotonic()
    one.tick(start + 1.5, 600)
    assert read(tmp_path).is_first
    one.tick(start + 16, 900)
    beat = read(tmp_path)
    assert beat.began_at is not None
    assert round((beat.written_at - beat.began_at).total_seconds()) == 16
    assert not beat.is_first


def test_the_first_beats_come_soon_after_one_another(tmp_path: Path) -> None:
    """Somebody who has just submitted looks whether anything happens."""
    one = heart(tmp_path)
    start = time.monotonic()
    seen = []
    for tenths in range(1, 700):
        one.tick(start + tenths / 10, tenths)
        seen.append(read(tmp_path).rows)
    beats = sorted({rows / 10 for rows in seen if rows})
    pauses = [round(later - earlier) for earlier, later in itertools.pairwise([0, *beats])]
    assert pauses == [1, 2, 4, 8, 15, 15, 15]


def test_a_full_disk_does_not_end_a_task_for_a_heartbeats_sake(small_disk: Path) -> None:
    one = heart(small_disk)
    fill(small_disk, leaving=0)
    one.beat(time.monotonic())
    one.beat(time.monotonic())
    assert [path.name for path in small_disk.glob("*beat*")] == ["0003.heartbeat.json"]


def test_a_folder_that_cannot_be_made_does_not_end_it_either(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    heart(tmp_path / "file")


def test_without_a_file_there_is_none(tmp_path: Path) -> None:
    assert heartbeat.read(tmp_path, 3) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"written_at": 3}', b"\xff"])
def test_one_that_cannot_be_read_is_reported_with_its_file(tmp_path: Path, content: bytes) -> None:
    path = heartbeat.path_of(tmp_path, 3)
    path.write_bytes(content)
    with pytest.raises(InputError) as rejected:
        heartbeat.read(tmp_path, 3)
    assert str(rejected.value).startswith(f"{path}: ") or "is damaged" in str(rejected.value)


def test_one_of_an_incompatible_version_is_reported_with_its_keys(tmp_path: Path) -> None:
    heart(tmp_path)
    path = heartbeat.path_of(tmp_path, 3)
    values = json.loads(path.read_text())
    del values["node"]
    path.write_text(json.dumps({**values, "rows": "many"}))
    with pytest.raises(InputError) as rejected:
        heartbeat.read(tmp_path, 3)
    assert str(rejected.value).splitlines() == [
        f"{path}: 2 problems",
        "  rows: should be a whole number, not 'many'",
        "  node: is missing",
    ]


def test_one_of_a_later_version_is_read_without_its_new_keys(tmp_path: Path) -> None:
    heart(tmp_path, rows=40)
    path, known = heartbeat.path_of(tmp_path, 3), read(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": {"good": True}}))
    assert read(tmp_path) == known


def test_it_says_what_the_task_is_doing(tmp_path: Path) -> None:
    activity = TaskActivity(
        memory_mb=96.5,
        requests_last_minute=2952,
        faults={"throttled": 84},
        quota_tasks=8,
        throttled=True,
    )
    HeartbeatWriter(
        heartbeat.path_of(tmp_path, 3), posts=9, rows=4, node="n1", activity=lambda: activity
    )
    beat = read(tmp_path)
    assert (beat.memory_mb, beat.requests_last_minute) == (96.5, 2952)
    assert (beat.faults, beat.quota_tasks) == ({"throttled": 84}, 8)
    assert beat.throttled


def test_one_that_version_6f9faab_wrote_is_read(tmp_path: Path) -> None:
    heartbeat.path_of(tmp_path, 3).write_text(
        '{"written_at": "2026-11-29 12:25:25.123456+00:00", '
        '"progress_at": "2026-11-29 12:25:20+00:00", "rows": 3, "posts": 5, '
        '"rate_per_minute": 0.0, "last_error": "", "node": "n1", '
        '"counts": {"llm_prompt_tokens": 7}, "counts_per_minute": {"llm_prompt_tokens": 1.5}}'
    )
    assert read(tmp_path) == Heartbeat(
        written_at=datetime(2026, 11, 29, 12, 25, 25, 123456, tzinfo=UTC),
        progress_at=datetime(2026, 11, 29, 12, 25, 20, tzinfo=UTC),
        rows=3,
        posts=5,
        rate_per_minute=0.0,
        last_error="",
        node="n1",
        counts={"llm_prompt_tokens": 7},
        counts_per_minute={"llm_prompt_tokens": 1.5},
    )


def test_it_is_written_while_the_classifier_hangs_and_shows_no_key(tmp_path: Path) -> None:
    site = scripted_classifier.install(tmp_path)
    complaint = f"HTTP 503 for {scripted_classifier.KEY}"
    classifier = scripted_classifier.options(tmp_path, answered=2, complaint=complaint)
    run_dir, _ = make_run(tmp_path, posts(6), classifier=classifier)
    program = (
        "import sys; from pipeline.run_files import heartbeat; "
        "from pipeline.worker import process as worker; heartbeat.HEARTBEAT_SECONDS = 0.5; "
    )
    task = task_processes.start(order(run_dir, attempt=3), site, program=program)
    work = work_path(run_dir, 0)
    wait_until(lambda: (beat := heartbeat.read(work, 3)) and beat.rows == 2, task=task)
    first = read(work)
    wait_until(lambda: read(work).written_at > first.written_at, task=task)
    again = read(work)
    assert (again.rows, again.progress_at.replace(microsecond=0)) != (0, None)
    assert abs(again.progress_at - first.progress_at) < timedelta(milliseconds=50)
    assert again.last_error == "HTTP 503 for [key]"
    assert again.memory_mb is not None and 5 < again.memory_mb < 5000
    assert (again.requests_last_minute, again.faults, again.quota_tasks) == (None, {}, None)
    task_processes.kill(task)


def test_it_says_how_many_posts_have_which_reason(tmp_path: Path) -> None:
    sums = AnswerSums(unlabelable={"no_text": 2})
    one = HeartbeatWriter(
        heartbeat.path_of(tmp_path, 3), posts=9, rows=4, node="n1", sums=lambda: sums
    )
    assert read(tmp_path).unlabelable == {"no_text": 2}
    sums = AnswerSums(unlabelable={"no_text": 2, "poison": 1})
    one.beat(1e6)
    assert read(tmp_path).unlabelable == {"no_text": 2, "poison": 1}
