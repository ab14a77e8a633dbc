"""A task's own server, as a real process: its start, its address, its log and its end."""

import threading
import time
from pathlib import Path

import pytest

from pipeline.config.secret import Secret
from pipeline.errors import Cause
from pipeline.service.endpoint import Stopped
from tests.pipeline.classifiers.llm.server.started_servers import (
    NEVER,
    MakeServer,
    alive,
    failure,
    kill,
    starts,
    status_of,
)
from tests.waiting import wait_until


def test_the_server_starts_when_its_address_is_first_needed_and_ends_with_close(
    make_server: MakeServer, starts_folder: Path
) -> None:
    server = make_server()
    assert (starts(starts_folder), server.trouble) == ([], "")
    address = server.address(NEVER)
    (start,) = starts(starts_folder)
    assert address == f"http://127.0.0.1:{start['port']}/v1"
    assert status_of(address) == 200
    assert (server.address(NEVER), server.trouble) == (address, "")
    server.close()
    assert alive(starts_folder) == []


def test_placeholders_of_the_command_are_filled_in_and_other_braces_stay(
    make_server: MakeServer, starts_folder: Path
) -> None:
    own = ['{"a": {}}', '{"backend":"xgrammar"}', "{{other}}", "${OTHER}"]
    tuning = ["{model}", "{host}:{port}", *own, "{scratch}/x", "0.9"]
    make_server(tuning=tuning, env={"CACHE": "{scratch}/c"}).address(NEVER)
    (start,) = starts(starts_folder)
    model, address, *braces, scratch, number = start["rest"]
    assert (model, address) == ("a/model", f"127.0.0.1:{start['port']}")
    assert (braces, number) == (own, "0.9")
    assert start["env"]["CACHE"] == scratch.removesuffix("/x") + "/c"


def test_each_start_has_its_own_scratch_folder_which_is_deleted_with_it(
    make_server: MakeServer, starts_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers that compile keep there what they must not share, unless the user decides."""
    monkeypatch.setenv("TRITON_CACHE_DIR", "/somewhere/triton")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)  # set where torch was imported
    server = make_server(env={"SCRATCH": "{scratch}", "VLLM_CACHE_ROOT": "/fast/vllm"})
    server.address(NEVER)
    kill(starts_folder)
    wait_until(lambda: len(starts(starts_folder)) == 2)
    server.address(NEVER)
    first, second = (start["env"] for start in starts(starts_folder))
    for env in (first, second):
        assert env["TORCHINDUCTOR_CACHE_DIR"] == f"{env['SCRATCH']}/inductor"
        assert env["VLLM_CACHE_ROOT"] == "/fast/vllm"
        assert env["TRITON_CACHE_DIR"] == "/somewhere/triton"
    assert first["SCRATCH"] != second["SCRATCH"]
    assert not Path(first["SCRATCH"]).exists()
    assert Path(second["SCRATCH"]).is_dir()
    server.close()
    assert not Path(second["SCRATCH"]).exists()


def test_each_start_has_a_heading_in_the_log(
    make_server: MakeServer, tmp_path: Path, starts_folder: Path
) -> None:
    make_server("die").address(NEVER)
    log = (tmp_path / "logs" / "server.log").read_text().splitlines()
    first, word, reason, second, serve = log
    port, next_port = (start["port"] for start in starts(starts_folder))
    assert (word, reason, serve) == (
        "this start: die",
        "ValueError: unknown architecture",
        "this start: serve",
    )
    assert first.endswith(
        f" -m tests.servers.misbehaving_server --port {port} --folder {starts_folder}"
    )
    assert second.endswith(
        f" -m tests.servers.misbehaving_server --port {next_port} --folder {starts_folder}"
    )
    assert first.startswith("== ")


def test_a_server_without_a_health_page_is_ready_when_it_lists_its_models(
    make_server: MakeServer,
) -> None:
    assert status_of(make_server("no-health").address(NEVER)) == 200


def test_trouble_says_what_a_starting_server_is_waited_for(make_server: MakeServer) -> None:
    stop = threading.Event()
    server = make_server("never")

    def wait() -> None:
        with pytest.raises(Stopped):
            server.address(stop)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: "GET /health: HTTP 503" in server.trouble)
    assert server.trouble.startswith("the server has been starting for ")
    stop.set()
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_task_that_is_stopped_does_not_wait_for_its_server(
    make_server: MakeServer, starts_folder: Path
) -> None:
    stopping = threading.Event()
    server = make_server("never", stopping=stopping)
    stop_when_started = threading.Thread(
        target=lambda: (wait_until(lambda: starts(starts_folder)), stopping.set())
    )
    stop_when_started.start()
    with pytest.raises(Stopped):
        server.address(NEVER)
    stop_when_started.join()
    wait_until(lambda: alive(starts_folder) == [])


def test_a_server_that_dies_after_the_task_was_stopped_is_not_a_failure(
    make_server: MakeServer, starts_folder: Path
) -> None:
    """Slurm may signal all processes of a step."""
    stopping = threading.Event()
    server = make_server(stopping=stopping)
    address = server.address(NEVER)
    stopping.set()
    assert server.address(NEVER) == address  # requests in flight are paid for
    kill(starts_folder)
    wait_until(lambda: alive(starts_folder) == [])
    with pytest.raises(Stopped):
        while server.address(NEVER):
            time.sleep(0.01)
    assert len(starts(starts_folder)) == 1


def test_the_key_is_redacted_from_the_log_and_the_error(
    make_server: MakeServer, tmp_path: Path
) -> None:
    key = Secret("sk-secret-4711")
    script = f"echo starting with sk-secret-4711; echo sk-secret; exit 1; # {'{port}'}"
    error = failure(make_server(command=["sh", "-c", script], key=key))
    log = (tmp_path / "logs" / "server.log").read_text()
    assert "starting with [key]\nsk-secret\n" in log
    assert "4711" not in log
    assert "4711" not in str(error) + "".join(error.__notes__)


def test_a_key_too_short_to_be_one_is_not_redacted(make_server: MakeServer) -> None:
    script = f"echo CUDA out of memory; exit 1; # {'{port}'}"
    error = failure(make_server(command=["sh", "-c", script], key=Secret("o")))
    assert error.cause is Cause.OUT_OF_MEMORY


def test_a_request_reaches_only_the_server_itself(
    make_server: MakeServer, starts_folder: Path
) -> None:
    """After its end, and before its address is withdrawn, a stranger may take its port."""
    server = make_server()
    address = server.address(NEVER)
    port = int(address.split(":")[2].partition("/")[0])
    sockets = server.listener(port)
    assert sockets
    assert server.listener(port) == sockets
    kill(starts_folder)
    with pytest.raises(OSError, match=r"has ended|nobody listens"):
        while server.listener(port):
            time.sleep(0.01)
