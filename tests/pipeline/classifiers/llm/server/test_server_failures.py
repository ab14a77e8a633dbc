"""A task's own server that dies, hangs or cannot be started: restarts and causes."""

import errno
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.llm.server.log import LogEnd
from pipeline.errors import Cause
from pipeline.service.endpoint import Stopped
from tests.pipeline.classifiers.llm.server.started_servers import (
    NEVER,
    MakeServer,
    failure,
    kill,
    message_of,
    not_started,
    starts,
    status_of,
)
from tests.servers.misbehaving_server import OUT_OF_MEMORY
from tests.waiting import wait_until


def test_a_server_that_dies_while_starting_is_restarted_once(
    make_server: MakeServer, starts_folder: Path
) -> None:
    error = failure(make_server("die", "die", "serve"))
    assert (error.cause, error.blames_post) == (Cause.CRASHED, False)
    log = LogEnd(error_line="ValueError: unknown architecture")
    assert str(error) == message_of({"code": 3}, log=log, restarted=True)
    assert len(starts(starts_folder)) == 2


def test_the_last_lines_of_the_log_are_a_note_of_the_error(
    make_server: MakeServer, tmp_path: Path
) -> None:
    error = failure(make_server("die", "die"))
    assert error.__notes__ == [
        f"the end of {tmp_path}/logs/server.log:\n"
        "| this start: die\n| ValueError: unknown architecture"
    ]


def test_a_server_that_dies_while_serving_is_restarted_on_another_port(
    make_server: MakeServer, starts_folder: Path
) -> None:
    server = make_server()
    first = server.address(NEVER)
    kill(starts_folder)
    wait_until(lambda: len(starts(starts_folder)) == 2)
    second = server.address(NEVER)
    assert first != second
    assert status_of(second) == 200


@pytest.mark.parametrize(("number", "blames"), [(signal.SIGSEGV, True), (signal.SIGKILL, False)])
def test_a_second_death_ends_the_task_and_blames_the_post_unless_the_server_was_killed(
    make_server: MakeServer, starts_folder: Path, number: signal.Signals, blames: bool
) -> None:
    server = make_server()
    for nth in (1, 2):
        server.address(NEVER)
        wait_until(lambda nth=nth: len(starts(starts_folder)) == nth)  # type: ignore[misc]
        kill(starts_folder, number)
        wait_until(lambda: server.trouble)
    error = failure(server)
    assert (error.cause, error.blames_post) == (Cause.CRASHED, blames)
    log = LogEnd(error_line="this start: serve")
    assert str(error) == message_of({"code": -number}, log=log, served=True, restarted=True)


def test_a_server_that_runs_out_of_gpu_memory_is_not_restarted(
    make_server: MakeServer, starts_folder: Path
) -> None:
    error = failure(make_server("memory", "serve"))
    assert (error.cause, error.blames_post) == (Cause.OUT_OF_MEMORY, False)
    log = LogEnd(error_line=OUT_OF_MEMORY, out_of_memory=True)
    assert str(error) == message_of({"code": 1}, log=log)
    assert len(starts(starts_folder)) == 1


def test_a_program_that_does_not_exist_stops_the_run(make_server: MakeServer) -> None:
    error = failure(make_server(command=["vlllm", "serve", "--port", "{port}"]))
    assert (error.cause, error.stops_run) == (Cause.REFUSED, True)
    assert str(error) == message_of(not_started(errno.ENOENT), log=LogEnd(), program="vlllm")


def test_a_program_without_permission_to_run_stops_the_run(
    make_server: MakeServer, tmp_path: Path
) -> None:
    (tmp_path / "serve.sh").write_text("#!/bin/sh\n")
    program = str(tmp_path / "serve.sh")
    error = failure(make_server(command=[program, "{port}"]))
    assert (error.cause, error.stops_run) == (Cause.REFUSED, True)
    assert str(error) == message_of(not_started(errno.EACCES), log=LogEnd(), program=program)


def test_a_program_that_cannot_be_started_right_now_does_not_stop_the_run(
    make_server: MakeServer, tmp_path: Path
) -> None:
    """The user may have too many processes on the node; here, the file is being written."""
    (tmp_path / "serve.sh").write_text("#!/bin/sh\n")
    (tmp_path / "serve.sh").chmod(0o700)
    with (tmp_path / "serve.sh").open("a"):
        program = str(tmp_path / "serve.sh")
        error = failure(make_server(command=[program, "{port}"]))
    assert (error.cause, error.blames_post, error.stops_run) == (Cause.CRASHED, False, False)
    assert str(error) == message_of(
        not_started(errno.ETXTBSY), log=LogEnd(), program=program, restarted=True
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/server-x"), Cause.CRASHED),
        (MemoryError("no more"), Cause.OUT_OF_MEMORY),
        (RuntimeError("can't start new thread"), Cause.CRASHED),
    ],
)
def test_a_failure_to_start_the_guard_is_not_blamed_on_a_post(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Cause
) -> None:
    def fail(**_: Any) -> str:
        raise error

    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    raised = failure(make_server())
    assert (raised.cause, raised.blames_post, raised.stops_run) == (cause, False, False)
    assert str(error) in str(raised)
    assert raised.__cause__ is error  # so that the traceback says where


def test_a_log_that_cannot_be_written_is_not_blamed_on_a_post(
    make_server: MakeServer, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("not a folder")
    raised = failure(make_server())
    assert (raised.cause, raised.blames_post) == (Cause.CRASHED, False)
    assert f"File exists: '{tmp_path}/logs'" in str(raised)


def test_a_server_that_is_never_ready_ends_the_task(
    make_server: MakeServer, starts_folder: Path
) -> None:
    error = failure(make_server("never", "serve", ready_seconds=3))
    assert (error.cause, error.blames_post) == (Cause.CRASHED, False)
    assert "(GET /health: HTTP 503)" in str(error)
    assert "classifier.server.ready" in str(error)
    assert len(starts(starts_folder)) == 1


def test_a_server_that_never_listens_ends_the_task(make_server: MakeServer) -> None:
    error = failure(make_server("silent", ready_seconds=0.5))
    assert "(no connection: nobody listens on the port)" in str(error)


def test_a_configured_health_page_must_exist(make_server: MakeServer) -> None:
    """The server would be ready by its list of models, which is not asked for here."""
    stop = threading.Event()
    server = make_server("no-health", ready="/health")
    stopper = threading.Thread(
        target=lambda: (wait_until(lambda: "GET /health: HTTP 404" in server.trouble), stop.set())
    )
    stopper.start()
    with pytest.raises(Stopped):
        server.address(stop)
    stopper.join()
