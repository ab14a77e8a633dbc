"""The crash journal names the posts that were in flight, and blames no other post."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UnreadableError
from pipeline.worker import crash_journal
from pipeline.worker.crash_journal import CrashEvidence, CrashJournal
from tests.pipeline.conftest import fill
from tests.pipeline.exhaustion import exhausted_descriptors
from tests.pipeline.task_processes import names_in

URIS = [f"u{row}" for row in range(40)]


@pytest.fixture
def slow_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """No post is marked ahead of time, and no answer is recorded late."""
    monkeypatch.setattr(crash_journal, "QUICK_SECONDS", 0.0)


def new_journal(folder: Path, attempt: int = 1) -> CrashJournal:
    """A journal of 40 posts that will all be asked about."""
    journal = CrashJournal(folder, attempt=attempt, uris=URIS)
    for row in range(len(URIS)):
        journal.will_be_asked(row)
    return journal


def states(folder: Path, attempt: int = 1) -> bytes:
    (path,) = folder.glob(f"{attempt:04d}-*.in-hand")
    return path.read_bytes()


@pytest.mark.usefixtures("slow_classifier")
def test_the_journal_holds_one_byte_per_post_in_the_shards_order(tmp_path: Path) -> None:
    journal = new_journal(tmp_path / "00007")
    assert states(tmp_path / "00007") == bytes(40)
    for uri in ("u0", "u1", "u3"):
        journal.record_handed_out(uri)
    journal.record_answered("u1")
    journal.record_answered("at://nobody")
    assert states(tmp_path / "00007") == bytes([1, 2, 0, 1]) + bytes(36)


def test_a_quick_classifiers_posts_are_marked_ahead_and_none_is_missed(tmp_path: Path) -> None:
    uris = [f"u{row}" for row in range(200)]
    journal = CrashJournal(tmp_path, attempt=1, uris=uris)
    for row in range(200):
        journal.will_be_asked(row)
    for row, uri in enumerate(uris):
        journal.record_handed_out(uri)
        assert states(tmp_path)[row] == crash_journal.IN_FLIGHT
        suspects = crash_journal.read_evidence(tmp_path, [1]).suspects
        assert max(suspects) < row + crash_journal.MAX_AHEAD
        journal.record_answered(uri)


def test_posts_that_are_taken_together_are_marked_by_one_write_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = new_journal(tmp_path)
    real, writes = os.pwrite, []

    def pwrite(*arguments: object) -> int:
        writes.append(arguments)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", pwrite)
    journal.record_handed_out("u3", "u4", "u7")
    assert len(writes) == 1
    assert set(crash_journal.read_evidence(tmp_path, [1]).suspects) == {3, 4, 7}


def test_posts_that_are_not_asked_together_with_others_are_never_marked_ahead(
    tmp_path: Path,
) -> None:
    journal = CrashJournal(tmp_path, attempt=1, uris=URIS)
    for row in range(0, 40, 2):
        journal.will_be_asked(row)
    for row in range(0, 20, 2):
        journal.record_handed_out(f"u{row}")
    suspects = crash_journal.read_evidence(tmp_path, [1]).suspects
    assert {row % 2 for row in suspects} == {0}


@pytest.mark.parametrize("blamed", [False, True])
@pytest.mark.parametrize("error", [None, ValueError("x"), SystemExit(3)])
def test_the_journal_is_deleted_unless_a_post_is_to_blame(
    tmp_path: Path, blamed: bool, error: BaseException | None
) -> None:
    try:
        with crash_journal.closing_journal(new_journal(tmp_path)) as journal:
            journal.solo = True
            journal.record_handed_out("u3")
            journal.blamed = blamed
            if error:
                raise error
    except (ValueError, SystemExit):
        pass
    assert crash_journal.solo_attempts_by_attempt(names_in(tmp_path)) == ({1: 1} if blamed else {})
    assert crash_journal.read_evidence(tmp_path, [1]).suspects == ({3: {1}} if blamed else {})


def test_a_solo_attempt_has_a_file_until_the_post_is_answered(tmp_path: Path) -> None:
    journal = new_journal(tmp_path, attempt=12)
    journal.solo = True
    journal.record_handed_out("u3")
    assert [path.name for path in tmp_path.glob("*.trial")] == ["0012-00003.trial"]
    journal.record_answered("u3")
    assert list(tmp_path.glob("*.trial")) == []


def test_solo_attempts_are_counted_by_their_file_names(tmp_path: Path) -> None:
    for name in ("0001-00003.trial", "0001-00004.trial", "0012-00003.trial", "x-y.trial"):
        (tmp_path / name).touch()
    assert crash_journal.solo_attempts_by_attempt(names_in(tmp_path)) == {1: 2, 12: 1}


def test_a_requeued_attempt_deletes_its_own_former_files_and_no_others(tmp_path: Path) -> None:
    for attempt in (1, 2):
        journal = new_journal(tmp_path, attempt)
        journal.solo = True
        journal.record_handed_out("u3")
    first = next(tmp_path.glob("0001-*.in-hand"))
    new_journal(tmp_path, 2)
    assert first.exists()
    assert states(tmp_path, 2) == bytes(40)
    assert crash_journal.solo_attempts_by_attempt(names_in(tmp_path)) == {1: 1}


def test_a_journal_that_another_task_deleted_does_no_harm(tmp_path: Path) -> None:
    journal = new_journal(tmp_path)
    journal.record_handed_out("u0")
    crash_journal.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
    for uri in URIS:
        journal.record_handed_out(uri)
        journal.record_answered(uri)
    assert list(tmp_path.iterdir()) == []


def failing(number: int) -> Callable[..., int]:
    """A pwrite that fails with this error number."""

    def pwrite(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return pwrite


def test_a_stale_handle_of_nfs_means_that_another_task_deleted_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = new_journal(tmp_path)
    monkeypatch.setattr(os, "pwrite", failing(errno.ESTALE))
    journal.record_handed_out("u0")


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_post_is_recorded_when_the_write_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    journal = new_journal(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", failing(number))
        for _ in range(2):
            with pytest.raises(OSError, match=os.strerror(number)):
                journal.record_handed_out("u0")
    journal.record_handed_out("u0")
    assert states(tmp_path)[0] == crash_journal.IN_FLIGHT


@pytest.mark.usefixtures("slow_classifier")
def test_answers_that_could_not_be_recorded_are_recorded_before_the_next_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are paid for: they, and those under way, must get past the journal."""
    journal = new_journal(tmp_path)
    journal.record_handed_out("u0")
    journal.record_handed_out("u1")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", failing(errno.ENOSPC))
        journal.record_answered("u0")
        journal.record_answered("u1")
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            journal.record_handed_out("u2")
    journal.record_handed_out("u2")
    assert states(tmp_path)[:3] == bytes(
        [crash_journal.ANSWERED, crash_journal.ANSWERED, crash_journal.IN_FLIGHT]
    )


def test_a_solo_file_that_cannot_be_deleted_is_deleted_before_the_next_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with crash_journal.closing_journal(new_journal(tmp_path)) as journal:
        journal.solo = True
        journal.record_handed_out("u3")
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", unlink)
            journal.record_answered("u3")
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                journal.record_handed_out("u4")
        assert [path.name for path in tmp_path.glob("*.trial")] == ["0001-00003.trial"]
        journal.record_handed_out("u4")
        assert [path.name for path in tmp_path.glob("*.trial")] == ["0001-00004.trial"]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_before_anything_is_asked(small_disk: Path) -> None:
    (small_disk / "00007").mkdir()
    fill(small_disk, leaving=0)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        new_journal(small_disk / "00007")
    (small_disk / "filler").unlink()
    new_journal(small_disk / "00007")
    assert len(list((small_disk / "00007").iterdir())) == 1, "what the first try left is gone"


@pytest.mark.parametrize(
    ("attempts", "named"),
    [
        ({2}, "submission 2"),
        ({1, 2}, "submissions 1 and 2"),
        ({12, 3, 1}, "submissions 1, 3 and 12"),
    ],
)
def test_the_reason_of_a_post_that_is_set_aside_names_the_attempts(
    attempts: set[int], named: str
) -> None:
    evidence = CrashEvidence(suspects={3: attempts}, died_alone=frozenset({3}))
    assert evidence.reason(3) == f"poison: the task died at this post in {named}"


def test_what_is_no_journal_is_reported_and_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "0001-aaaaaaaa.in-hand"
    path.mkdir()
    assert crash_journal.read_evidence(tmp_path, [1]) == CrashEvidence()
    assert capsys.readouterr().err.startswith(f"{path}: ")


def test_a_journal_that_cannot_be_read_now_is_not_ignored(tmp_path: Path) -> None:
    """Without it, a deadly post would be asked about together with others."""
    (tmp_path / "0001-aaaaaaaa.in-hand").write_bytes(bytes([crash_journal.IN_FLIGHT]))
    with exhausted_descriptors(), pytest.raises(UnreadableError):
        crash_journal.read_evidence(tmp_path, [1])


@given(in_flight=st.dictionaries(st.integers(1, 4), st.sets(st.integers(0, 39))), data=st.data())
def test_only_attempts_that_crashed_count_as_evidence(
    tmp_path_factory: pytest.TempPathFactory, in_flight: dict[int, set[int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("work")
    for attempt, rows in in_flight.items():
        content = bytes(row in rows for row in range(40))
        (folder / f"{attempt:04d}-aaaaaaaa.in-hand").write_bytes(content)
    crashed = data.draw(st.sets(st.integers(1, 4)))
    expected: dict[int, set[int]] = {}
    for attempt in crashed:
        for row in in_flight.get(attempt, ()):
            expected.setdefault(row, set()).add(attempt)
    evidence = crash_journal.read_evidence(folder, crashed)
    assert evidence == CrashEvidence(suspects=expected)
