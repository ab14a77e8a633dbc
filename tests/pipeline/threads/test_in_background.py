"""A function runs beside the block, and ends with it."""

import threading

import duckdb
import pytest

from pipeline.threads.in_background import in_background


def test_the_function_runs_while_the_block_does() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def act() -> str:
        begun.set()
        assert may_end.wait(60)
        return "done"

    with in_background(act, lambda: None) as wait_for_result:
        assert begun.wait(60)
        may_end.set()
        assert wait_for_result() == "done"


def test_what_the_function_raises_reaches_whoever_waits() -> None:
    def act() -> None:
        raise ValueError("wrong")

    with (
        in_background(act, lambda: None) as wait_for_result,
        pytest.raises(ValueError, match="wrong"),
    ):
        wait_for_result()


def test_an_error_of_the_block_interrupts_every_query() -> None:
    ended: list[str] = []
    begun = threading.Event()

    def act() -> None:
        for _ in range(2):
            begun.set()
            try:
                connection.execute("SELECT count(*) FROM range(2000000000) WHERE hash(range) = 1")
                ended.append("whole")
            except duckdb.InterruptException:
                ended.append("interrupted")

    with (
        duckdb.connect() as connection,
        pytest.raises(KeyboardInterrupt),
        in_background(act, connection.interrupt),
    ):
        assert begun.wait(60)
        raise KeyboardInterrupt
    assert ended == ["interrupted", "interrupted"]


def test_where_no_thread_can_be_started_the_function_runs_when_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with in_background(threading.get_ident, lambda: None) as wait_for_result:
        assert wait_for_result() == threading.get_ident()
