"""A task's own server, as a real process that dies, hangs, forks and lies."""

import errno
import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from pipeline.classifiers.llm.server import options
from pipeline.classifiers.llm.server import server as engines_module
from pipeline.classifiers.llm.server.server import ModelServer
from pipeline.config.secret import NO_KEY, Secret
from pipeline.errors import Cause, TaskError
from pipeline.service.endpoint import Stopped
from tests.pipeline.classifiers.asking import section
from tests.pipeline.classifiers.llm.server import engines
from tests.pipeline.task_processes import until
from tests.servers.engine_program import OUT_OF_MEMORY

Make = Callable[..., ModelServer]
NEVER = threading.Event()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[ModelServer] = []

    def make_one(
        *words: str,
        key: Secret = NO_KEY,
        stopping: threading.Event | None = None,
        **keys: Any,
    ) -> ModelServer:
        server = engines.program(tmp_path / "engine", *words)
        server["env"] |= keys.pop("env", {})
        given = section(
            {"server": {**server, "ready_seconds": 60, **keys}, "model": "a/model"}, tmp_path
        )
        frozen = json.loads(json.dumps(options.freeze(given)))
        thawed = options.thaw({**frozen, "model": "a/model"})
        assert thawed
        log = tmp_path / "logs" / "server.log"
        engine = ModelServer(thawed, log=log, secret=key, stopping=stopping or threading.Event())
        made.append(engine)
        return engine

    yield make_one
    for engine in made:
        engine.close()
    assert engines.alive(tmp_path / "engine") == []


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "engine"


def log_of(folder: Path) -> list[str]:
    return (folder / "logs" / "server.log").read_text().splitlines()


def failure(engine: ModelServer) -> TaskError:
    with pytest.raises(TaskError) as caught:
        engine.address(NEVER)
    return caught.value


def answers(address: str) -> int:
    return requests.get(f"{address}/models", timeout=10).status_code


def kill(here: Path, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(engines.starts(here)[-1]["pid"], number)


def test_it_is_started_when_first_asked_for_and_ended_by_close(make: Make, here: Path) -> None:
    engine = make()
    assert (engines.starts(here), engine.trouble) == ([], "")
    address = engine.address(NEVER)
    (start,) = engines.starts(here)
    assert address == f"http://127.0.0.1:{start['port']}/v1"
    assert answers(address) == 200
    assert (engine.address(NEVER), engine.trouble) == (address, "")
    engine.close()
    assert engines.alive(here) == []


def test_the_command_is_filled_in_and_other_braces_are_its_own(make: Make, here: Path) -> None:
    own = ['{"a": {}}', '{"backend":"xgrammar"}', "{{other}}", "${OTHER}"]
    tuning = ["{model}", "{host}:{port}", *own, "{scratch}/x", 0.9]
    make(tuning=tuning, env={"CACHE": "{scratch}/c"}).address(NEVER)
    (start,) = engines.starts(here)
    model, address, *braces, scratch, number = start["rest"]
    assert (model, address) == ("a/model", f"127.0.0.1:{start['port']}")
    assert (braces, number) == (own, "0.9")
    assert start["env"]["CACHE"] == scratch.removesuffix("/x") + "/c"


def test_each_start_has_a_folder_of_its_own_that_goes_with_it(
    make: Make, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where engines that compile keep what they must not share, unless somebody decides."""
    monkeypatch.setenv("TRITON_CACHE_DIR", "/somewhere/triton")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)  # set where torch was imported
    engine = make(env={"SCRATCH": "{scratch}", "VLLM_CACHE_ROOT": "/fast/vllm"})
    engine.address(NEVER)
    kill(here)
    until(lambda: len(engines.starts(here)) == 2)
    engine.address(NEVER)
    first, second = (start["env"] for start in engines.starts(here))
    for env in (first, second):
        assert env["TORCHINDUCTOR_CACHE_DIR"] == f"{env['SCRATCH']}/inductor"
        assert env["VLLM_CACHE_ROOT"] == "/fast/vllm"
        assert env["TRITON_CACHE_DIR"] == "/somewhere/triton"
    assert first["SCRATCH"] != second["SCRATCH"]
    assert not Path(first["SCRATCH"]).exists()
    assert Path(second["SCRATCH"]).is_dir()
    engine.close()
    assert not Path(second["SCRATCH"]).exists()


def test_the_log_tells_the_starts_apart(make: Make, tmp_path: Path, here: Path) -> None:
    make("die").address(NEVER)
    first, what, why, second, serve = log_of(tmp_path)
    one, two = (start["port"] for start in engines.starts(here))
    assert (what, why, serve) == (
        "this start: die",
        "ValueError: unknown architecture",
        "this start: serve",
    )
    assert first.endswith(f" -m tests.servers.engine_program --port {one} --folder {here}")
    assert second.endswith(f" -m tests.servers.engine_program --port {two} --folder {here}")
    assert first.startswith("== ")


def test_one_that_dies_while_it_starts_is_started_again_once(make: Make, here: Path) -> None:
    error = failure(make("die", "die", "serve"))
    assert (error.cause, error.blames_post) == (Cause.CRASHED, False)
    assert str(error) == (
        "the server, started again, ended with exit code 3 while it started: "
        "ValueError: unknown architecture"
    )
    assert len(engines.starts(here)) == 2


def test_the_last_lines_of_its_log_are_a_note_of_the_error(make: Make, tmp_path: Path) -> None:
    error = failure(make("die", "die"))
    assert error.__notes__ == [
        f"the end of {tmp_path}/logs/server.log:\n"
        "| this start: die\n| ValueError: unknown architecture"
    ]


def test_one_that_dies_while_it_serves_is_started_again_elsewhere(make: Make, here: Path) -> None:
    engine = make()
    first = engine.address(NEVER)
    kill(here)
    until(lambda: len(engines.starts(here)) == 2)
    second = engine.address(NEVER)
    assert first != second
    assert answers(second) == 200


@pytest.mark.parametrize(("number", "blames"), [(signal.SIGSEGV, True), (signal.SIGKILL, False)])
def test_the_second_death_is_the_last_and_may_be_a_posts_doing_unless_somebody_killed_it(
    make: Make, here: Path, number: signal.Signals, blames: bool
) -> None:
    engine = make()
    for nth in (1, 2):
        engine.address(NEVER)
        until(lambda nth=nth: len(engines.starts(here)) == nth)  # type: ignore[misc]
        kill(here, number)
        until(lambda: engine.trouble)
    error = failure(engine)
    assert (error.cause, error.blames_post) == (Cause.CRASHED, blames)
    assert (
        str(error) == f"the server, started again, was killed by {number.name}: this start: serve"
    )


def test_out_of_gpu_memory_is_not_tried_again_with_the_same_memory(make: Make, here: Path) -> None:
    error = failure(make("memory", "serve"))
    assert (error.cause, error.blames_post) == (Cause.OUT_OF_MEMORY, False)
    assert str(error) == (
        f"the server ended with exit code 1 while it started: {OUT_OF_MEMORY} "
        "(the GPU's memory: a smaller model, context or batch, or a larger GPU)"
    )
    assert len(engines.starts(here)) == 1


def test_a_program_that_is_not_there_stops_the_run(make: Make) -> None:
    error = failure(make(command=["vlllm", "serve", "--port", "{port}"]))
    assert (error.cause, error.stops_run) == (Cause.REFUSED, True)
    assert str(error) == "the server cannot be started: vlllm: No such file or directory"


def test_a_program_that_may_not_be_run_stops_the_run(make: Make, tmp_path: Path) -> None:
    (tmp_path / "serve.sh").write_text("#!/bin/sh\n")
    error = failure(make(command=[str(tmp_path / "serve.sh"), "{port}"]))
    assert (error.cause, error.stops_run) == (Cause.REFUSED, True)
    assert str(error) == f"the server cannot be started: {tmp_path}/serve.sh: Permission denied"


def test_a_program_that_cannot_be_started_now_may_be_later(make: Make, tmp_path: Path) -> None:
    """As where the node has no process left for the user; here, the file is being written."""
    (tmp_path / "serve.sh").write_text("#!/bin/sh\n")
    (tmp_path / "serve.sh").chmod(0o700)
    with (tmp_path / "serve.sh").open("a"):
        error = failure(make(command=[str(tmp_path / "serve.sh"), "{port}"]))
    assert (error.cause, error.blames_post, error.stops_run) == (Cause.CRASHED, False, False)
    assert str(error) == (
        f"the server, started again, cannot be started: {tmp_path}/serve.sh: Text file busy"
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/server-x"), Cause.CRASHED),
        (MemoryError("no more"), Cause.OUT_OF_MEMORY),
        (RuntimeError("can't start new thread"), Cause.CRASHED),
    ],
)
def test_what_keeps_a_task_from_starting_its_server_is_no_posts_doing(
    make: Make, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Cause
) -> None:
    def fail(**_: Any) -> str:
        raise error

    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    found = failure(make())
    assert (found.cause, found.blames_post, found.stops_run) == (cause, False, False)
    assert str(found) == f"the server cannot be started: {error}"
    assert found.__cause__ is error  # the traceback says where


def test_a_log_that_cannot_be_written_is_no_posts_doing(make: Make, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no folder")
    found = failure(make())
    assert (found.cause, found.blames_post) == (Cause.CRASHED, False)
    assert str(found) == (
        f"the server cannot be started: [Errno 17] File exists: '{tmp_path}/logs'"
    )


def test_one_that_is_never_ready_is_ended_with_what_it_says(make: Make, here: Path) -> None:
    error = failure(make("never", "serve", ready_seconds=1))
    assert (error.cause, error.blames_post) == (Cause.CRASHED, False)
    assert str(error) == (
        "the server was not ready after 1 s (GET /health: HTTP 503): see classifier.server.ready "
        "and ready_seconds: this start: never"
    )
    assert len(engines.starts(here)) == 1


def test_one_that_never_listens_is_ended_too(make: Make) -> None:
    error = failure(make("silent", ready_seconds=0.5))
    assert "not ready after 0.5 s (GET /health: no connection)" in str(error)


def test_where_there_is_no_health_page_the_models_are_asked_for(make: Make) -> None:
    assert answers(make("no-health").address(NEVER)) == 200


def test_a_health_page_that_is_named_must_be_there(make: Make) -> None:
    error = failure(make("no-health", ready="/health", ready_seconds=0.5))
    assert "(GET /health: HTTP 404)" in str(error)


def test_what_it_waits_for_is_told_while_it_starts(make: Make) -> None:
    stop = threading.Event()
    engine = make("never")

    def wait() -> None:
        with pytest.raises(Stopped):
            engine.address(stop)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: "GET /health: HTTP 503" in engine.trouble)
    assert engine.trouble.startswith("the server is starting, ")
    stop.set()
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_task_that_is_told_to_stop_does_not_wait_for_its_server(make: Make, here: Path) -> None:
    stopping = threading.Event()
    engine = make("never", stopping=stopping)
    until_started = threading.Thread(
        target=lambda: (until(lambda: engines.starts(here)), stopping.set())
    )
    until_started.start()
    with pytest.raises(Stopped):
        engine.address(NEVER)
    until_started.join()
    until(lambda: engines.alive(here) == [])


def test_one_that_dies_when_the_task_is_told_to_stop_is_no_error(make: Make, here: Path) -> None:
    """As where Slurm signals all processes of a step."""
    stopping = threading.Event()
    engine = make(stopping=stopping)
    address = engine.address(NEVER)
    stopping.set()
    assert engine.address(NEVER) == address  # what is in flight is paid for
    kill(here)
    until(lambda: engines.alive(here) == [])
    with pytest.raises(Stopped):
        while engine.address(NEVER):
            time.sleep(0.01)
    assert len(engines.starts(here)) == 1


def test_a_port_that_was_taken_is_no_death(make: Make, here: Path) -> None:
    engine = make("bind", "bind", "die", "serve")
    assert answers(engine.address(NEVER)) == 200
    assert len({start["port"] for start in engines.starts(here)}) == 4


def test_ports_that_are_always_taken_end_the_task(make: Make, here: Path) -> None:
    error = failure(make(*["bind"] * 20))
    assert "address already in use" in str(error)
    assert len(engines.starts(here)) == 7  # five other ports, and the one restart


def test_anothers_answers_on_our_port_are_not_believed(
    make: Make, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start does not get its port, on which somebody else answers, and lives on."""
    take, taken = engines_module.Ports.take, []

    class Other(threading.Thread):
        """Answers 200 to everything."""

        def __init__(self, port: int) -> None:
            super().__init__(daemon=True)
            self.server = socket.create_server(("127.0.0.1", port))

        def run(self) -> None:
            while True:
                try:
                    connection, _ = self.server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def with_another(ports: Any) -> int:
        port = take(ports)
        if not taken:
            Other(port).start()
        taken.append(port)
        return port

    monkeypatch.setattr(engines_module.Ports, "take", with_another)
    engine = make("polite", "polite")
    assert engine.address(NEVER) == f"http://127.0.0.1:{taken[1]}/v1"
    assert answers(engine.address(NEVER)) == 200


@pytest.mark.parametrize("word", ["fork", "stubborn"])
def test_all_that_it_has_started_ends_with_it(make: Make, here: Path, word: str) -> None:
    engine = make(word)
    engine.address(NEVER)
    assert len(engines.alive(here)) == (3 if word == "fork" else 1)
    engine.close()
    assert engines.alive(here) == []


def test_what_it_has_started_ends_before_it_is_started_again(make: Make, here: Path) -> None:
    """The GPU's memory would still be taken."""
    engine = make("fork")
    engine.address(NEVER)
    kill(here)
    until(lambda: len(engines.starts(here)) == 2)
    assert len(engines.alive(here)) == 1


def test_that_it_died_is_known_before_all_of_it_has_gone(make: Make, here: Path) -> None:
    engine = make("stubborn-child")
    engine.address(NEVER)
    kill(here)
    until(lambda: engine.trouble)
    assert (len(engines.alive(here)), len(engines.starts(here))) == (1, 1)
    until(lambda: len(engines.starts(here)) == 2)
    assert len(engines.alive(here)) == 1


def test_the_key_is_sent_but_stands_in_no_log(make: Make, tmp_path: Path) -> None:
    key = Secret("sk-secret-4711")
    script = f"echo starting with sk-secret-4711; echo sk-secret; exit 1; # {'{port}'}"
    error = failure(make(command=["sh", "-c", script], key=key))
    log = (tmp_path / "logs" / "server.log").read_text()
    assert "starting with [key]\nsk-secret\n" in log
    assert "4711" not in log
    assert "4711" not in str(error) + "".join(error.__notes__)


def test_a_word_that_stands_for_no_key_leaves_the_log_as_it_is(make: Make) -> None:
    script = f"echo CUDA out of memory; exit 1; # {'{port}'}"
    error = failure(make(command=["sh", "-c", script], key=Secret("o")))
    assert error.cause is Cause.OUT_OF_MEMORY


def test_two_tasks_never_take_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the kernel offers it twice, as it does before a server has bound it."""
    offered = iter([40001, 40001, 40002])

    class Free:
        def __enter__(self) -> "Free":
            return self

        def __exit__(self, *_: object) -> None: ...

        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", next(offered)

    monkeypatch.setattr(socket, "create_server", lambda _: Free())
    one, other = engines_module.Ports(), engines_module.Ports()
    assert (one.take(), other.take()) == (40001, 40002)
    one.close()
    other.close()


def guard_of(here: Path) -> int:
    """Return the pid of the parent of the server that was started first."""
    return psutil.Process(engines.starts(here)[0]["pid"]).ppid()


def test_signals_to_all_processes_of_a_step_are_the_tasks_to_heed(make: Make, here: Path) -> None:
    """As some clusters send the warning before the time limit: it would end server and guard."""
    engine = make()
    address = engine.address(NEVER)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        os.kill(engines.starts(here)[0]["pid"], number)
        os.kill(guard_of(here), number)
    os.kill(guard_of(here), signal.SIGTERM)
    assert [answers(address) for _ in range(50)] == [200] * 50
    assert (engine.address(NEVER), len(engines.starts(here))) == (address, 1)
    # Not more than that: SIGTERM is how it is ended.
    assert engines.starts(here)[0]["ignored"] == ["SIGUSR1", "SIGUSR2"]


def test_nothing_is_left_where_the_guard_is_killed(make: Make, here: Path) -> None:
    engine = make()
    engine.address(NEVER)
    guard = guard_of(here)
    os.kill(guard, signal.SIGKILL)
    until(lambda: len(engines.starts(here)) == 2)
    engine.address(NEVER)
    assert len(engines.alive(here)) == 1
