"""The guard of a task's own server: no process is left, whatever happens."""

import io
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.llm.server.guard import RedactedLog
from pipeline.config.redaction import Redaction
from tests.pipeline.classifiers.llm.server.started_servers import (
    NEVER,
    MakeServer,
    alive,
    guard_of,
    kill,
    starts,
    status_of,
)
from tests.waiting import wait_until


@pytest.mark.parametrize("word", ["fork", "stubborn"])
def test_everything_the_server_has_started_ends_with_it(
    make_server: MakeServer, starts_folder: Path, word: str
) -> None:
    server = make_server(word)
    server.address(NEVER)
    assert len(alive(starts_folder)) == (3 if word == "fork" else 1)
    server.close()
    assert alive(starts_folder) == []


def test_everything_the_server_has_started_ends_before_a_restart(
    make_server: MakeServer, starts_folder: Path
) -> None:
    """Otherwise they would still occupy the GPU's memory."""
    server = make_server("fork")
    server.address(NEVER)
    kill(starts_folder)
    wait_until(lambda: len(starts(starts_folder)) == 2)
    assert len(alive(starts_folder)) == 1


def test_a_death_is_known_before_the_servers_children_have_ended(
    make_server: MakeServer, starts_folder: Path
) -> None:
    server = make_server("stubborn-child")
    server.address(NEVER)
    kill(starts_folder)
    wait_until(lambda: server.trouble)
    assert (len(alive(starts_folder)), len(starts(starts_folder))) == (1, 1)
    wait_until(lambda: len(starts(starts_folder)) == 2)
    assert len(alive(starts_folder)) == 1


def test_signals_to_all_processes_of_a_step_do_not_end_the_server(
    make_server: MakeServer, starts_folder: Path
) -> None:
    """Some clusters warn all processes before the time limit; the task decides what to do."""
    server = make_server()
    address = server.address(NEVER)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        os.kill(starts(starts_folder)[0]["pid"], number)
        os.kill(guard_of(starts_folder), number)
    os.kill(guard_of(starts_folder), signal.SIGTERM)
    assert [status_of(address) for _ in range(50)] == [200] * 50
    assert (server.address(NEVER), len(starts(starts_folder))) == (address, 1)
    # The server ignores no other signal: SIGTERM must end it.
    assert starts(starts_folder)[0]["ignored"] == ["SIGUSR1", "SIGUSR2"]


def test_no_process_is_left_when_the_guard_is_killed(
    make_server: MakeServer, starts_folder: Path
) -> None:
    server = make_server()
    server.address(NEVER)
    guard = guard_of(starts_folder)
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: len(starts(starts_folder)) == 2)
    server.address(NEVER)
    assert len(alive(starts_folder)) == 1


@pytest.mark.parametrize("cut", range(28))
def test_a_key_is_redacted_wherever_the_output_is_cut(tmp_path: Path, cut: int) -> None:
    text = b"the key sk-47114711 and sk-471\n"
    stream = (tmp_path / "log").open("wb", buffering=0)
    log = RedactedLog(stream, "sk-47114711")
    log.write(text[:cut])
    log.write(text[cut:])
    log.close()
    assert (tmp_path / "log").read_bytes() == b"the key [key] and sk-471\n"


@given(st.text("ab1", min_size=8, max_size=12), st.lists(st.text("ab1", max_size=9), max_size=9))
def test_chunks_make_the_same_log_as_the_whole_output(key: str, chunks: list[str]) -> None:
    written = io.BytesIO()
    written.close = lambda: None  # type: ignore[method-assign]
    log = RedactedLog(written, key)
    for chunk in chunks:
        log.write(chunk.encode())
    log.close()
    assert written.getvalue().decode() == Redaction(key)("".join(chunks))


def test_a_line_without_end_is_written_in_parts(tmp_path: Path) -> None:
    stream = (tmp_path / "log").open("wb", buffering=0)
    log = RedactedLog(stream, "sk-47114711")
    log.write(b"x" * 100_000)
    assert (tmp_path / "log").stat().st_size == 100_000
    log.close()


def test_a_full_disk_does_not_end_the_server() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        log = RedactedLog(full, "")
        log.write(b"output")
        log.close()
