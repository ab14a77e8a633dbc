"""Every piece of work is done once, whoever does it."""

import threading
from collections.abc import Iterator

import pytest

from pipeline.threads import share_work as shared
from pipeline.threads.share_work import share_work

PIECES = range(3 * shared._WORTH_A_THREAD)


def test_threads_share_the_pieces() -> None:
    both = threading.Barrier(2)

    def work(left: Iterator[int]) -> tuple[int, list[int]]:
        both.wait(60)
        return threading.get_ident(), list(left)

    results = share_work(PIECES, work, threads=2)
    assert len({thread for thread, _ in results}) == 2
    assert sorted(piece for _, done in results for piece in done) == list(PIECES)


def test_few_pieces_start_no_thread() -> None:
    assert share_work([1, 2], list, threads=8) == [[1, 2]]


@pytest.mark.parametrize("in_helper", [False, True], ids=["this thread", "another"])
def test_an_error_of_one_thread_is_raised(in_helper: bool) -> None:
    both = threading.Barrier(2)
    this = threading.get_ident()

    def work(left: Iterator[int]) -> None:
        both.wait(60)
        if (threading.get_ident() != this) == in_helper:
            raise ValueError("wrong")
        list(left)

    with pytest.raises(ValueError, match="wrong"):
        share_work(PIECES, work, threads=2)


def test_after_an_error_of_this_thread_the_others_leave_the_rest() -> None:
    this, failed = threading.get_ident(), threading.Event()
    done: list[int] = []

    def work(left: Iterator[int]) -> None:
        if threading.get_ident() == this:
            failed.set()
            raise KeyboardInterrupt
        for piece in left:
            assert failed.wait(60)
            done.append(piece)

    # Each piece frees this thread for the next switch to it.
    with pytest.raises(KeyboardInterrupt):
        share_work(range(1_000_000), work, threads=2)
    assert len(done) < 1_000_000


def test_where_no_thread_can_be_started_this_one_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert share_work(PIECES, list, threads=8) == [list(PIECES)]
