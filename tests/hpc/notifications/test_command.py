"""The command that hears of events: what it gets, and what it cannot do to a run."""

import json
import os
from pathlib import Path

import pytest

from hpc.notifications.command import environment_without, key_of, run_command
from pipeline.config.secret import Secret
from tests.waiting import wait_until

KEY = "a-key-of-some-length"


def run(command: str | list[str], folder: Path, **more: float) -> str:
    document = {"event": "done", "message": "größer 🦋"}
    return run_command(command, document, folder=folder, environment=os.environ, **more)


@pytest.mark.parametrize("command", ["cat > got.json", ["tee", "got.json"]])
def test_it_gets_one_document_on_stdin_in_the_projects_folder(
    command: str | list[str], tmp_path: Path
) -> None:
    assert run(command, tmp_path) == ""
    assert json.loads((tmp_path / "got.json").read_text()) == {
        "event": "done", "message": "größer 🦋",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("true", ""),
        ("echo no such relay >&2; exit 3", "exit code 3: no such relay"),
        ("false", "exit code 1"),
        ("kill -9 $$", "killed by SIGKILL"),
        (["no-such-program"], "no-such-program cannot be started: No such file or directory"),
        (["a\0b"], "a\0b cannot be started: embedded null byte"),
        ("exec 0<&-; true", ""),
    ],
)
def test_a_failure_is_a_sentence(command: str | list[str], problem: str, tmp_path: Path) -> None:
    assert run(command, tmp_path) == problem


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    command = "sleep 1000 & echo $! > child; wait"
    assert run(command, tmp_path, time_limit_s=0.5) == "it did not end within 0.5 s and was killed"
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "cmdline"
    wait_until(lambda: not child.exists() or not child.read_bytes(), "the child is gone")


def test_what_it_prints_without_end_fills_no_disk(tmp_path: Path) -> None:
    command = (
        "yes | head -c 20000000; "
        "until [ $(stat -Lc %s /proc/$$/fd/1) -lt 1000000 ]; do sleep 0.05; done; "
        "echo the end; exit 3"
    )
    assert run(command, tmp_path, time_limit_s=30) == "exit code 3: the end"


def test_what_it_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    assert run("sleep 2 & exit 0", tmp_path, time_limit_s=1.5) == ""


def test_no_variable_with_the_key_is_passed_on() -> None:
    inherited = {
        "PERSPECTIVE_API_KEY": "another", "AUTH": f"Bearer {KEY}", "HOME": "/h", "SLACK": "url",
    }  # fmt: skip
    assert environment_without(Secret(KEY), "PERSPECTIVE_API_KEY", inherited) == {
        "HOME": "/h", "SLACK": "url",
    }  # fmt: skip


def test_a_key_that_cannot_be_read_keeps_nobody_from_being_notified(tmp_path: Path) -> None:
    assert key_of({"api_key_file": str(tmp_path / "none")}).kept_out == ""
    assert key_of({"api_key_env": "NOT_SET_ANYWHERE"}).kept_out == ""
    assert key_of({}).kept_out == ""
