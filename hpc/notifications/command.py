"""Run the command that reports events: with a time limit, in a process group, without the key."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.config.secret import NO_KEY, Secret, read_key
from pipeline.errors import InputError
from pipeline.terminal import last_lines

TIME_LIMIT_S = 60.0
_LONGEST_TAIL = 4096
# What a command prints goes to a file: a process that it leaves behind may keep a pipe open.
_MOST_PRINTED = 16 << 20
_LOOK_S = 0.1


def key_of(classifier: Mapping[str, object]) -> Secret:
    """Return the API key of a run's classifier; `NO_KEY` if it cannot be read here."""
    try:
        return read_key(*key_places(classifier))
    except InputError:
        return NO_KEY


def key_places(classifier: Mapping[str, object]) -> tuple[str | None, str | None]:
    """Return the variable, or the file, that holds the API key of a run's classifier."""
    env, file = classifier.get("api_key_env"), classifier.get("api_key_file")
    return env if isinstance(env, str) else None, file if isinstance(file, str) else None


def environment_without(
    key: Secret, variable: str | None, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Return an environment without the variables that hold an API key.

    Args:
        key: the key.
        variable: the variable that is meant to hold it.
        inherited: the environment of this process.
    """
    return {
        name: value
        for name, value in inherited.items()
        if name != variable and key.redact(value) == value
    }


def run_command(
    command: str | Sequence[str],
    document: Mapping[str, object],
    *,
    folder: Path,
    environment: Mapping[str, str],
    time_limit_s: float = TIME_LIMIT_S,
) -> str:
    """Run a command with a JSON document on stdin; return why it failed, or '' if it did not.

    Args:
        command: a program and its arguments, or a line for `sh`.
        document: what it gets.
        folder: its working folder.
        environment: all of its environment.
        time_limit_s: after this many seconds, it is killed with all processes of its group.
    """
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    with (
        tempfile.TemporaryFile() as given,
        tempfile.NamedTemporaryFile() as printed,
        Path(printed.name).open("ab") as appended,  # so that it can be emptied
    ):
        given.write(json.dumps(document, ensure_ascii=False).encode() + b"\n")
        given.seek(0)
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=dict(environment),
                stdin=given,
                stdout=appended,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return f"{words[0]} cannot be started: {reason}"
        code: int | None = None
        try:
            code = _wait(process, printed.fileno(), time_limit_s)
        except subprocess.TimeoutExpired:
            return f"it did not end within {time_limit_s:g} s and was killed"
        finally:
            if code is None:  # also where Ctrl-C ends the wait
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return "" if code == 0 else f"{_describe_exit(code)}{_end_of(printed.fileno())}"


def _wait(process: subprocess.Popen[bytes], printed: int, time_limit_s: float) -> int:
    """Return the exit code of a command, and let its output fill no disk meanwhile.

    Args:
        process: the command.
        printed: the file that it prints to.
        time_limit_s: how long to wait.

    Raises:
        subprocess.TimeoutExpired: it has not ended by then.
    """
    end = time.monotonic() + time_limit_s
    while True:
        try:
            return process.wait(max(0.0, min(_LOOK_S, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                raise
        if os.fstat(printed).st_size > _MOST_PRINTED:
            os.ftruncate(printed, 0)


def _describe_exit(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"


def _end_of(descriptor: int) -> str:
    """Return the last line that a command printed, to follow its exit code."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _LONGEST_TAIL, max(0, size - _LONGEST_TAIL))
    lines = last_lines(tail.decode(errors="replace"), 1)
    return f": {lines[0]}" if lines else ""
