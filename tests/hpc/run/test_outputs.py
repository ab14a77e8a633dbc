"""Looking at outputs again opens only what has changed, and its memory is never trusted too far."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hpc.run import outputs, run_folder
from hpc.run.model.run import Run
from pipeline.model import Answer, Column
from pipeline.run_files import output
from pipeline.run_files.manifest import output_path
from pipeline.run_files.output import OutputCheck, ShardLabels
from pipeline.run_files.pace import Pace
from tests.pipeline import run_builders
from tests.pipeline.exhaustion import exhausted_descriptors


@pytest.fixture
def partly_published_run(tmp_path: Path) -> Run:
    """Three shards, the first two of them published."""
    folder, run = run_builders.make_run(tmp_path, run_builders.posts(30), shards=3)
    for index in (0, 1):
        run_builders.publish_shard(folder, run, index)
    return run_folder.load(folder)


def publish_counted(run: Run, index: int, tokens: int) -> None:
    """An output of which every answer cost so many tokens."""
    columns = (Column("mood", "text"), Column("tokens", "count"))
    labels = ShardLabels(
        posts=run_builders.read_shard(run.folder, index),
        answers=run_builders.answers_of(
            [run_builders.uri(number) for number in range(10 * index, 10 * index + 10)],
            columns,
            lambda uri: Answer(uri, {"mood": "fine", "tokens": tokens}),
        ),
        columns=columns,
        model="m",
        attempt=1,
        pace=Pace(asked=10, asking_s=1.0, startup_s=1.0, memory_mb=97.0),
    )
    output.publish(run.folder, run.manifest, index, labels)


def verified(run: Run) -> list[bool]:
    return [check.verified for check in outputs.verify_outputs(run)]


def garbled(path: Path) -> None:
    """Other bytes under the same size, time of change and inode."""
    stat = path.stat()
    with path.open("r+b") as stream:
        stream.write(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_each_shard_has_one_result_in_order(partly_published_run: Run) -> None:
    first, second, third = outputs.verify_outputs(partly_published_run)
    assert first.publication and second.publication and first != second
    assert third == OutputCheck()


def test_a_file_that_has_not_changed_is_not_opened_again(partly_published_run: Run) -> None:
    before = outputs.verify_outputs(partly_published_run)
    for index in (0, 1):
        garbled(output_path(partly_published_run.folder, index))
    assert outputs.verify_outputs(partly_published_run) == before
    # Looked at without the memory, neither counts: nothing but the memory can have answered.
    (partly_published_run.folder / outputs.MEMORY).unlink()
    assert verified(partly_published_run) == [False, False, False]


def test_cost_and_peak_memory_are_cached_with_the_result(partly_published_run: Run) -> None:
    publish_counted(partly_published_run, 2, tokens=7)
    before = outputs.verify_outputs(partly_published_run)
    assert [check.counts for check in before] == [{}, {}, {"tokens": 70}]
    assert [check.peak_mb for check in before] == [None, None, 97.0]
    for index in range(3):
        garbled(output_path(partly_published_run.folder, index))
    assert outputs.verify_outputs(partly_published_run) == before


def test_the_cache_of_an_older_version_is_read_once_and_replaced(partly_published_run: Run) -> None:
    """It holds size, time, inode and publication, and nothing of the cost."""
    publish_counted(partly_published_run, 2, tokens=7)
    before = outputs.verify_outputs(partly_published_run)
    memory = partly_published_run.folder / outputs.MEMORY
    now = json.loads(memory.read_text())
    memory.write_text(json.dumps({name: stamp[:4] for name, stamp in now.items()}))
    assert outputs.verify_outputs(partly_published_run) == before
    assert json.loads(memory.read_text()) == now


def test_a_file_that_was_touched_is_read_again(partly_published_run: Run) -> None:
    outputs.verify_outputs(partly_published_run)
    path = output_path(partly_published_run.folder, 1)
    garbled(path)
    os.utime(path)
    first, second, _ = outputs.verify_outputs(partly_published_run)
    assert first.verified
    assert second.publication is None
    assert second.problem and second.problem.startswith("it cannot be decoded: ")


def test_a_file_that_does_not_verify_is_read_every_time(partly_published_run: Run) -> None:
    path = output_path(partly_published_run.folder, 0)
    good = path.read_bytes()
    garbled(path)
    assert verified(partly_published_run) == [False, True, False]
    stat = path.stat()
    with path.open("r+b") as stream:
        stream.write(good)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert verified(partly_published_run) == [True, True, False]


def test_a_shard_that_is_published_again_has_a_new_publication(partly_published_run: Run) -> None:
    before = outputs.verify_outputs(partly_published_run)
    output_path(partly_published_run.folder, 0).unlink()
    assert verified(partly_published_run) == [False, True, False]
    run_builders.publish_shard(partly_published_run.folder, partly_published_run.manifest, 0)
    after = outputs.verify_outputs(partly_published_run)
    assert after[0].publication not in (before[0].publication, None)
    assert after[1] == before[1]


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"{", b"null", b"[]", b"7", b"\xff\xfe",
        b'{"00000.parquet": 5}', b'{"00000.parquet": {"0": 1}}', b'{"00000.parquet": []}',
        b'{"00000.parquet": [1, 2, 3, "p"]}', b'{"00002.parquet": [1, 2, 3, "p"]}',
        b'{"00000.parquet": [1, 2, 3, "p", {}]}', b'{"00002.parquet": [1, 2, 3, "p", 4]}',
    ],
)  # fmt: skip
def test_a_damaged_cache_is_ignored(partly_published_run: Run, garbage: bytes) -> None:
    before = outputs.verify_outputs(partly_published_run)
    memory = partly_published_run.folder / outputs.MEMORY
    good = memory.read_bytes()
    memory.write_bytes(garbage)
    assert outputs.verify_outputs(partly_published_run) == before
    assert memory.read_bytes() == good


def test_a_cache_that_cannot_be_written_is_not_needed(partly_published_run: Run) -> None:
    memory = partly_published_run.folder / outputs.MEMORY
    memory.mkdir()
    before = outputs.verify_outputs(partly_published_run)
    assert [check.verified for check in before] == [True, True, False]
    garbled(output_path(partly_published_run.folder, 0))
    assert verified(partly_published_run) == [False, True, False]
    assert list(partly_published_run.folder.glob(".tmp-*")) == []


def test_the_cache_holds_verified_outputs_and_is_written_only_after_a_change(
    partly_published_run: Run,
) -> None:
    garbled(output_path(partly_published_run.folder, 1))
    outputs.verify_outputs(partly_published_run)
    memory = partly_published_run.folder / outputs.MEMORY
    assert list(json.loads(memory.read_text())) == ["00000.parquet"]
    written = memory.stat().st_mtime_ns, memory.stat().st_ino
    outputs.verify_outputs(partly_published_run)
    assert (memory.stat().st_mtime_ns, memory.stat().st_ino) == written


def test_files_that_are_not_outputs_are_ignored(partly_published_run: Run) -> None:
    """A temporary file may also go away, renamed, between the listing and the look at it: a link
    that leads nowhere cannot be looked at either."""
    folder = partly_published_run.folder / "outputs"
    (folder / "00002.parquet.damaged").write_bytes(b"x")
    (folder / "00007.parquet").write_bytes(b"x")
    (folder / ".tmp-1-00002.parquet").symlink_to(folder / "nowhere")
    assert verified(partly_published_run) == [True, True, False]


def test_an_output_that_disappears_meanwhile_affects_no_other(
    partly_published_run: Run,
) -> None:
    (partly_published_run.folder / "outputs" / "00002.parquet").symlink_to(
        partly_published_run.folder / "nowhere"
    )
    assert verified(partly_published_run) == [True, True, False]


def test_without_the_folder_there_are_no_outputs(partly_published_run: Run) -> None:
    (partly_published_run.folder / "outputs").rename(partly_published_run.folder / "elsewhere")
    assert verified(partly_published_run) == [False, False, False]


def test_an_output_that_is_set_aside_counts_again_once_it_is_put_back(
    partly_published_run: Run,
) -> None:
    path = output_path(partly_published_run.folder, 0)
    before = outputs.verify_outputs(partly_published_run)
    aside = output.set_aside(path)
    assert verified(partly_published_run) == [False, True, False]
    aside.rename(path)
    assert outputs.verify_outputs(partly_published_run) == before


STALE = OSError(errno.ESTALE, os.strerror(errno.ESTALE))
MAY_PASS = OutputCheck(unreadable=os.strerror(errno.ESTALE))


def fail(monkeypatch: pytest.MonkeyPatch, function: str, *, times: int) -> None:
    """Let a function of `os` fail so many times, as on a server that has restarted."""
    works, left = getattr(os, function), iter(range(times))

    def flaky(path: Any, *arguments: Any, **more: Any) -> Any:
        if "/outputs" in str(path) and next(left, None) is not None:
            raise STALE
        return works(path, *arguments, **more)

    monkeypatch.setattr(os, function, flaky)


@pytest.mark.parametrize("function", ["open", "scandir", "stat"])
def test_an_error_that_passes_changes_no_result(
    partly_published_run: Run, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    before = outputs.verify_outputs(partly_published_run)
    (partly_published_run.folder / outputs.MEMORY).unlink()
    monkeypatch.setattr(outputs, "PAUSE_S", 0.0)
    fail(monkeypatch, function, times=1)
    assert outputs.verify_outputs(partly_published_run) == before


def test_outputs_that_cannot_be_read_are_neither_done_nor_missing(
    partly_published_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "PAUSE_S", 0.0)
    fail(monkeypatch, "open", times=1000)
    assert outputs.verify_outputs(partly_published_run) == (MAY_PASS, MAY_PASS, OutputCheck())


def test_a_folder_that_cannot_be_listed_makes_no_output_missing(
    partly_published_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are looked at one by one then."""
    before = outputs.verify_outputs(partly_published_run)
    (partly_published_run.folder / outputs.MEMORY).unlink()
    fail(monkeypatch, "scandir", times=1000)
    assert outputs.verify_outputs(partly_published_run) == before


def test_what_a_file_held_before_it_became_unreadable_counts_on(
    partly_published_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outputs.verify_outputs(partly_published_run)
    fail(monkeypatch, "open", times=1000)
    assert outputs.verify_outputs(partly_published_run) == before


def test_without_descriptors_no_output_is_missing(
    partly_published_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "PAUSE_S", 0.0)
    with exhausted_descriptors():
        checks = outputs.verify_outputs(partly_published_run)
    exhausted = OutputCheck(unreadable=os.strerror(errno.EMFILE))
    assert checks == (exhausted,) * 3
    assert verified(partly_published_run) == [True, True, False]


@pytest.mark.parametrize("linked", ["outputs", "outputs/00000.parquet"])
def test_a_link_to_a_disk_that_is_not_mounted_is_not_a_missing_output(
    partly_published_run: Run, linked: str
) -> None:
    moved = partly_published_run.folder / linked
    moved.rename(partly_published_run.folder / "elsewhere")
    moved.symlink_to("/not/mounted")
    first = outputs.verify_outputs(partly_published_run)[0]
    assert first.unreadable and first.needs_person and not first.problem


def test_a_named_pipe_or_a_folder_is_no_output_and_nobody_waits_for_it(
    partly_published_run: Run,
) -> None:
    for make in (os.mkfifo, os.mkdir):
        path = output_path(partly_published_run.folder, 0)
        output.set_aside(path)
        make(path)
        first = outputs.verify_outputs(partly_published_run)[0]
        assert first == OutputCheck(problem="it is not a file")
