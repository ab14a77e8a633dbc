"""The journal of posts in hand, and who is suspected by it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Cause, TaskError
from pipeline.worker import crash_journal
from pipeline.worker.crash_journal import CrashJournal, Evidence
from tests.pipeline.conftest import fill

URIS = [f"u{row}" for row in range(40)]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a classifier that takes its time: nothing is written ahead or late."""
    monkeypatch.setattr(crash_journal, "QUICK_SECONDS", 0.0)


def journal(folder: Path, attempt: int = 1) -> CrashJournal:
    one = CrashJournal(folder, attempt=attempt, uris=URIS)
    for row in range(len(URIS)):
        one.will_be_asked(row)
    return one


def states(folder: Path, attempt: int = 1) -> bytes:
    (path,) = folder.glob(f"{attempt:04d}-*.in-hand")
    return path.read_bytes()


@pytest.mark.usefixtures("slow")
def test_it_is_a_byte_a_post_in_the_shards_order(tmp_path: Path) -> None:
    one = journal(tmp_path / "00007")
    assert states(tmp_path / "00007") == bytes(40)
    for uri in ("u0", "u1", "u3"):
        one.handed_out(uri)
    one.answered("u1")
    one.answered("at://nobody")
    assert states(tmp_path / "00007") == bytes([1, 2, 0, 1]) + bytes(36)


def test_a_quick_classifiers_posts_are_written_ahead_and_none_is_ever_missed(
    tmp_path: Path,
) -> None:
    uris = [f"u{row}" for row in range(200)]
    one = CrashJournal(tmp_path, attempt=1, uris=uris)
    for row in range(200):
        one.will_be_asked(row)
    for row, uri in enumerate(uris):
        one.handed_out(uri)
        assert states(tmp_path)[row] == crash_journal.IN_HAND
        held = crash_journal.evidence(tmp_path, [1]).held
        assert max(held) < row + crash_journal.AHEAD
        one.answered(uri)


def test_what_is_answered_or_asked_later_is_not_written_ahead(tmp_path: Path) -> None:
    one = CrashJournal(tmp_path, attempt=1, uris=URIS)
    for row in range(0, 40, 2):
        one.will_be_asked(row)
    for row in range(0, 20, 2):
        one.handed_out(f"u{row}")
    assert all(row % 2 == 0 for row in crash_journal.evidence(tmp_path, [1]).held)


@pytest.mark.parametrize("blamed", [False, True])
@pytest.mark.parametrize("error", [None, ValueError("x"), SystemExit(3)])
def test_it_stays_only_where_a_post_is_to_blame(
    tmp_path: Path, blamed: bool, error: BaseException | None
) -> None:
    try:
        with journal(tmp_path) as one:
            one.alone = True
            one.handed_out("u3")
            one.blamed = blamed
            if error:
                raise error
    except (ValueError, SystemExit):
        pass
    assert crash_journal.trials_by_attempt(tmp_path) == ({1: 1} if blamed else {})
    assert crash_journal.evidence(tmp_path, [1]).held == ({3: {1}} if blamed else {})


def test_a_post_asked_alone_has_a_file_until_it_is_answered(tmp_path: Path) -> None:
    one = journal(tmp_path, attempt=12)
    one.alone = True
    one.handed_out("u3")
    assert [path.name for path in tmp_path.glob("*.trial")] == ["0012-00003.trial"]
    one.answered("u3")
    assert list(tmp_path.glob("*.trial")) == []


def test_trials_are_counted_off_the_names(tmp_path: Path) -> None:
    assert crash_journal.trials_by_attempt(tmp_path / "none") == {}
    for name in ("0001-00003.trial", "0001-00004.trial", "0012-00003.trial", "x-y.trial"):
        (tmp_path / name).touch()
    assert crash_journal.trials_by_attempt(tmp_path) == {1: 2, 12: 1}


def test_a_new_life_of_an_attempt_removes_its_forerunners_files_and_no_others(
    tmp_path: Path,
) -> None:
    for attempt in (1, 2):
        one = journal(tmp_path, attempt)
        one.alone = True
        one.handed_out("u3")
    first = next(tmp_path.glob("0001-*.in-hand"))
    journal(tmp_path, 2)
    assert first.exists()
    assert states(tmp_path, 2) == bytes(40)
    assert crash_journal.trials_by_attempt(tmp_path) == {1: 1}


def test_a_journal_that_another_life_removed_is_written_on(tmp_path: Path) -> None:
    one = journal(tmp_path)
    one.handed_out("u0")
    crash_journal.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
    for uri in URIS:
        one.handed_out(uri)
        one.answered(uri)
    assert list(tmp_path.iterdir()) == []


def failing(number: int) -> Callable[..., int]:
    def pwrite(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return pwrite


def test_a_stale_handle_of_nfs_is_such_a_removed_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = journal(tmp_path)
    monkeypatch.setattr(os, "pwrite", failing(errno.ESTALE))
    one.handed_out("u0")


def test_a_write_error_ends_the_task_and_blames_no_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = journal(tmp_path)
    monkeypatch.setattr(os, "pwrite", failing(errno.EIO))
    with pytest.raises(TaskError, match=r"\.in-hand: Input/output error$") as raised:
        one.handed_out("u0")
    assert (raised.value.cause, raised.value.blames_post) == (Cause.CRASHED, False)


@pytest.mark.usefixtures("slow")
def test_a_write_error_after_an_answer_ends_the_task_at_the_next_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is paid for: it, and those under way, must get past the journal."""
    one = journal(tmp_path)
    one.handed_out("u0")
    one.handed_out("u1")
    monkeypatch.setattr(os, "pwrite", failing(errno.ENOSPC))
    one.answered("u0")
    one.answered("u1")
    monkeypatch.undo()
    with pytest.raises(TaskError, match=r"\.in-hand: No space left on device$") as raised:
        one.handed_out("u2")
    assert (raised.value.cause, raised.value.blames_post) == (Cause.CRASHED, False)


def test_a_trial_that_cannot_be_removed_costs_its_answer_nothing_and_is_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(TaskError, match=r": Input/output error$"), journal(tmp_path) as one:
        one.alone = True
        one.handed_out("u3")
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", unlink)
            one.answered("u3")
        assert crash_journal.trials_by_attempt(tmp_path) == {1: 1}
        one.handed_out("u4")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_the_task_before_anything_is_asked(small_disk: Path) -> None:
    (small_disk / "00007").mkdir()
    fill(small_disk, leaving=0)
    with pytest.raises(TaskError, match=r"\.in-hand: No space left on device$"):
        journal(small_disk / "00007")


@pytest.mark.parametrize(
    ("attempts", "words"),
    [({2}, "attempt 2"), ({1, 2}, "attempts 1 and 2"), ({12, 3, 1}, "attempts 1, 3 and 12")],
)
def test_the_verdict_names_the_attempts(attempts: set[int], words: str) -> None:
    found = Evidence(held={3: attempts}, alone=frozenset({3}))
    assert found.verdict(3) == f"poison: the task died at this post in {words}"


def test_a_journal_that_cannot_be_read_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "0001-aaaaaaaa.in-hand"
    path.mkdir()
    assert crash_journal.evidence(tmp_path, [1]) == Evidence()
    assert capsys.readouterr().err.startswith(f"{path}: left out, it cannot be read: ")


@given(held=st.dictionaries(st.integers(1, 4), st.sets(st.integers(0, 39))), data=st.data())
def test_only_attempts_that_crashed_are_evidence(
    tmp_path_factory: pytest.TempPathFactory, held: dict[int, set[int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("work")
    for attempt, rows in held.items():
        one = bytes(row in rows for row in range(40))
        (folder / f"{attempt:04d}-aaaaaaaa.in-hand").write_bytes(one)
    crashed = data.draw(st.sets(st.integers(1, 4)))
    expected: dict[int, set[int]] = {}
    for attempt in crashed:
        for row in held.get(attempt, ()):
            expected.setdefault(row, set()).add(attempt)
    assert crash_journal.evidence(folder, crashed) == Evidence(held=expected)
