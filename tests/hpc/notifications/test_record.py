"""Each event is reported once, by whichever process sees it first, even if that one dies."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpc.notifications.record import MOST_TRIES, first_try, send_once
from pipeline.errors import BusyError

NOW = datetime(2026, 11, 30, tzinfo=UTC)
EVENT = first_try(("done", "1"), "login1", NOW)


@contextmanager
def another_process(run_dir: Path, send: Callable[[], str]) -> Iterator[int]:
    """Send the same notice in a child; yields its pid."""
    child = os.fork()
    if not child:
        send_once(run_dir, EVENT, send)
        os._exit(0)
    yield child


def test_an_event_is_sent_once(tmp_path: Path) -> None:
    sent: list[str] = []
    outcomes = [send_once(tmp_path, EVENT, lambda: sent.append("") or "") for _ in range(3)]
    assert (len(sent), outcomes) == (1, [("", MOST_TRIES - 1), None, None])
    other = first_try(("done", "2"), "login1", NOW)
    assert send_once(tmp_path, other, lambda: "") == ("", MOST_TRIES - 1)


def test_a_command_that_fails_is_tried_a_few_times(tmp_path: Path) -> None:
    outcomes = [send_once(tmp_path, EVENT, lambda: "exit code 1") for _ in range(MOST_TRIES + 1)]
    assert outcomes == [("exit code 1", 2), ("exit code 1", 1), ("exit code 1", 0), None]


def test_two_processes_at_once_send_it_once(tmp_path: Path) -> None:
    ready, go = os.pipe(), os.pipe()

    def send_slowly() -> str:
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        return ""

    with another_process(tmp_path, send_slowly) as child:
        os.read(ready[0], 1)
        with pytest.raises(BusyError):
            send_once(tmp_path, EVENT, lambda: pytest.fail("sent twice"))
        os.write(go[1], b"x")
        assert os.waitpid(child, 0)[1] == 0
    assert send_once(tmp_path, EVENT, lambda: pytest.fail("sent twice")) is None


def test_what_a_process_did_not_finish_before_it_was_killed_is_sent_again(tmp_path: Path) -> None:
    with another_process(tmp_path, lambda: str(os.kill(os.getpid(), signal.SIGKILL))) as child:
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert send_once(tmp_path, EVENT, lambda: "") == ("", MOST_TRIES - 2)
    assert send_once(tmp_path, EVENT, lambda: pytest.fail("sent twice")) is None
