"""A task with its own server, as a whole: its process, its shard, its output, its last words."""

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.classifiers.llm.server.log import LogEnd
from pipeline.errors import Cause
from pipeline.run_files import heartbeat, last_words, manifest, output
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.manifest import Manifest
from pipeline.worker import crash_journal
from tests.pipeline import task_processes
from tests.pipeline.classifiers.classifier_setup import frozen_options
from tests.pipeline.classifiers.llm.server import started_servers
from tests.pipeline.run_builders import SourcePost, make_run, order, posts
from tests.servers.misbehaving_server import DEADLY, OUT_OF_MEMORY
from tests.waiting import wait_until

LABELS = [{"name": "civic", "type": "bool"}]


def make(
    folder: Path, *words: str, rows: list[SourcePost] | None = None, **server: Any
) -> tuple[Path, Manifest]:
    (folder / "prompt.txt").write_text("Is it civic?")
    program = started_servers.program(folder / "server", *words)
    values = {"type": "llm", "model": "stub", "prompt": "prompt.txt", "labels": LABELS,
              "structured_output": "none", "max_in_flight": 4,
              "server": {**program, **server}}  # fmt: skip
    options = frozen_options(values, folder)
    return make_run(folder, rows or posts(40), classifier=options, checkpoint_rows=5)


def words_of(run_dir: Path, attempt: int = 1) -> LastWords:
    words = last_words.read(run_dir, attempt, 0)
    assert words
    return words


def reasons(run_dir: Path, run: Manifest) -> list[str | None]:
    check, table = output.read(run_dir, run, 0)
    assert table is not None, check
    reasons: list[str | None] = table["reason"].to_pylist()
    return reasons


def test_a_task_labels_its_shard_with_its_own_server_and_leaves_no_process(
    tmp_path: Path, starts_folder: Path
) -> None:
    run_dir, run = make(tmp_path)
    code, out, err = task_processes.run_forked(order(run_dir))
    assert (code, err) == (0, "")
    assert "the server is ready after" in out
    assert reasons(run_dir, run) == [None] * 40
    assert len(started_servers.starts(starts_folder)) == 1
    assert started_servers.alive(starts_folder) == []
    assert "this start: serve" in manifest.server_log_path(run_dir, 1, 0).read_text()


def test_a_server_that_is_not_needed_is_not_started(tmp_path: Path, starts_folder: Path) -> None:
    """All remaining texts are too short."""
    rows = [post._replace(text="x") for post in posts(3)]
    run_dir, run = make(tmp_path, rows=rows)
    code, _, err = task_processes.run_forked(order(run_dir))
    assert (code, err) == (0, "")
    assert reasons(run_dir, run) == ["text_too_short"] * 3
    assert started_servers.starts(starts_folder) == []


def test_a_server_that_is_killed_is_restarted_and_no_post_is_lost(
    tmp_path: Path, starts_folder: Path
) -> None:
    run_dir, run = make(tmp_path, rows=posts(1000))
    task = task_processes.start(order(run_dir))
    wait_until(lambda: task_processes.rows_in(manifest.work_path(run_dir, 0)), task=task)
    os.kill(started_servers.starts(starts_folder)[0]["pid"], signal.SIGKILL)
    code, out, err = task_processes.finished(task)
    assert (code, err) == (0, "")
    assert "killed by SIGKILL" in out
    assert reasons(run_dir, run) == [None] * 1000
    assert len(started_servers.starts(starts_folder)) == 2
    assert started_servers.alive(starts_folder) == []


def test_a_post_that_kills_the_server_gets_a_reason_in_the_third_attempt(
    tmp_path: Path, starts_folder: Path
) -> None:
    rows = posts(20)
    rows[7] = rows[7]._replace(text=f"a {DEADLY} post")
    run_dir, run = make(tmp_path, rows=rows)
    first = order(run_dir)
    log = LogEnd(error_line="an illegal memory access was encountered")
    for attempt, crashed in ((1, ""), (2, "1")):
        code, _, _ = task_processes.run_forked(replace(first, attempt=attempt, crashed=crashed))
        assert code == 1
        words = words_of(run_dir, attempt)
        assert (words.cause, words.message) == (
            Cause.CRASHED,
            started_servers.message_of({"code": 0}, log=log, served=True, restarted=True),
        )
    assert crash_journal.solo_attempts_by_attempt(
        task_processes.names_in(manifest.work_path(run_dir, 0))
    ) == {2: 1}
    code, _, err = task_processes.run_forked(replace(first, attempt=3, crashed="1,2"))
    assert (code, err) == (0, "")
    by_post = reasons(run_dir, run)
    assert by_post.pop(7) == "poison: the task died at this post in submissions 1 and 2"
    assert by_post == [None] * 19
    assert started_servers.alive(starts_folder) == []


def test_a_server_out_of_gpu_memory_gives_the_task_its_cause(
    tmp_path: Path, starts_folder: Path
) -> None:
    run_dir, _ = make(tmp_path, "memory")
    code, _, err = task_processes.run_forked(order(run_dir))
    words = words_of(run_dir)
    assert (code, words.cause) == (1, Cause.OUT_OF_MEMORY)
    assert OUT_OF_MEMORY in words.message
    log = manifest.server_log_path(run_dir, 1, 0)
    end = f"the end of {log}:\n| this start: memory\n| {OUT_OF_MEMORY}\n| RuntimeError: Engine"
    assert end in err
    assert end in words.traceback
    assert started_servers.alive(starts_folder) == []


def test_a_program_that_does_not_exist_stops_the_run(tmp_path: Path) -> None:
    run_dir, _ = make(tmp_path, command=["vlllm", "--port", "{port}"])
    assert task_processes.run_forked(order(run_dir))[0] == 1
    words = words_of(run_dir)
    assert (words.cause, words.stops_run) == (Cause.REFUSED, True)
    report = started_servers.not_started(errno.ENOENT)
    assert words.message == started_servers.message_of(report, log=LogEnd(), program="vlllm")


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGUSR2])
def test_a_task_that_is_stopped_while_its_server_starts_ends_at_once(
    tmp_path: Path, starts_folder: Path, signalled: signal.Signals
) -> None:
    """No request is in flight that would be worth waiting for."""
    run_dir, _ = make(tmp_path, "never")
    patient = (
        "import sys; from pipeline.worker import classifier_thread, process as worker; "
        "classifier_thread.DRAIN_SECONDS = 3600.0; "
    )
    task = task_processes.start(order(run_dir), program=patient)
    wait_until(lambda: started_servers.starts(starts_folder), task=task)
    task.send_signal(signalled)
    code, out, _ = task_processes.finished(task)
    assert out.endswith("stopping on request; the next attempt resumes shard 0\n")
    if signalled is signal.SIGTERM:
        assert code == 143
        assert last_words.read(run_dir, 1, 0) is None
    else:
        words = words_of(run_dir)
        assert (words.cause, code) == (Cause.TIMEOUT, 1)
    assert started_servers.alive(starts_folder) == []


def test_a_task_that_is_stopped_at_work_keeps_its_answers(
    tmp_path: Path, starts_folder: Path
) -> None:
    run_dir, run = make(tmp_path, rows=posts(1000))
    work = manifest.work_path(run_dir, 0)
    task = task_processes.start(order(run_dir))
    wait_until(lambda: task_processes.rows_in(work), task=task)
    task.terminate()
    code, _, err = task_processes.finished(task)
    assert (code, err) == (143, "")
    assert started_servers.alive(starts_folder) == []
    kept = task_processes.rows_in(work)
    assert 0 < kept < 1000
    code, out, _ = task_processes.run_forked(order(run_dir, attempt=2))
    assert (code, out.splitlines()[0]) == (
        0,
        f"shard 0: 1,000 posts, {kept} already answered",
    )
    assert reasons(run_dir, run) == [None] * 1000


@pytest.mark.parametrize("word", ["never", "fork", "stubborn"])
def test_no_process_and_no_scratch_folder_is_left_of_a_task_that_is_killed(
    tmp_path: Path, starts_folder: Path, word: str
) -> None:
    """SIGKILL gives it no time, neither while its server starts nor while it serves."""
    run_dir, _ = make(tmp_path, word, rows=posts(3000))
    task = task_processes.start(order(run_dir))
    if word == "never":
        wait_until(lambda: started_servers.starts(starts_folder), task=task)
    else:
        wait_until(lambda: task_processes.rows_in(manifest.work_path(run_dir, 0)), task=task)
    scratch = Path(started_servers.starts(starts_folder)[0]["env"]["VLLM_CACHE_ROOT"]).parent
    assert scratch.is_dir()
    task_processes.kill(task)
    wait_until(lambda: started_servers.alive(starts_folder) == [])
    wait_until(lambda: not scratch.exists())


def test_the_heartbeat_says_that_the_server_is_starting(
    tmp_path: Path, starts_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, _ = make(tmp_path, "never")
    often = (
        "import sys; from pipeline.run_files import heartbeat; "
        "from pipeline.worker import process as worker; heartbeat.HEARTBEAT_SECONDS = 0.1; "
    )
    task = task_processes.start(order(run_dir), program=often)

    def last_error() -> str:
        beat = heartbeat.read(manifest.work_path(run_dir, 0), 1)
        return beat.last_error if beat else ""

    wait_until(lambda: "GET /health: HTTP 503" in last_error(), task=task)
    assert "starting" in last_error()
    task.terminate()
    assert task_processes.finished(task)[0] == 143


def test_the_key_is_sent_and_stored_nowhere(tmp_path: Path, starts_folder: Path) -> None:
    """The server has the task's environment. Its log goes through the guard, which redacts it."""
    key = "sk-distinctive-4711"
    shell = 'echo "my key is $SERVER_KEY"; exec "$0" "$@"'
    program = started_servers.program(starts_folder)
    run_dir, run = make(tmp_path, command=["sh", "-c", shell, *program["command"]])
    options = {**run.classifier, "api_key_env": "SERVER_KEY"}
    manifest.write(run_dir, msgspec.structs.replace(run, classifier=options))
    code, out, err = task_processes.run_forked(order(run_dir), SERVER_KEY=key)
    assert (code, err) == (0, "")
    assert "my key is [key]\n" in manifest.server_log_path(run_dir, 1, 0).read_text()
    files = [path for path in run_dir.rglob("*") if path.is_file()]
    assert [path for path in files if key.encode() in path.read_bytes()] == []
    assert key not in out
