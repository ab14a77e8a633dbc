"""Run Slurm's commands: sbatch, sacct, squeue, scontrol, scancel, sinfo. The only door to them.

A failed command is reported with its exit code, stdout and stderr: Slurm's own words, not a guess
at what they mean.
"""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence

from hpc.executors.base import ExecutorError
from hpc.executors.slurm.environment import query_environment, sbatch_environment
from hpc.executors.slurm.limits import submit_limits
from hpc.executors.waits import show_wait
from pipeline.errors import InputError

# How often to read what sbatch has printed so far. Between two tries it sleeps 1 s and more.
_LOOK_S = 0.2
_WAITING = "waiting for Slurm to answer"
PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo")


class SlurmError(ExecutorError):
    """A command of Slurm failed. `words` is what the command itself printed."""

    def __init__(
        self,
        command: Sequence[str],
        code: str,
        stdout: str,
        stderr: str,
        *,
        timed_out: bool = False,
        note: str = "",
    ) -> None:
        """Describe the failure, with stdout and stderr labeled where there is any, and a note."""
        self.command, self.code = tuple(command), code
        self.stdout, self.stderr = stdout, stderr
        self.timed_out = timed_out
        lines = [f"{shlex.join(command)} failed: {code}"]
        for label, text in (("stdout", stdout), ("stderr", stderr)):
            lines += [f"  {label}: {line}" for line in text.strip().splitlines()]
        words = stderr.strip() or stdout.strip() or code
        if note:
            lines.append(f"  {note}")
            words = f"{words}; {note}"
        super().__init__("\n".join(lines), words=words)


def check_programs() -> None:
    """Check that Slurm's commands are on PATH.

    Raises:
        InputError: some are not. Waiting does not help.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise InputError(
            f"there is no {', '.join(missing)} on PATH: run this on a login node of the cluster. "
            "cron starts commands with a short PATH: set it in the crontab, as in "
            "PATH=/usr/local/bin:/usr/bin:/bin"
        )


def run_command(command: Sequence[str], patience_s: float) -> str:
    """Run a command that asks or changes something, and return what it prints.

    Args:
        command: the program and its arguments.
        patience_s: how long to wait for its answer, in seconds.

    Raises:
        SlurmError: it is not here, failed, or did not answer in time.
    """
    try:
        with show_wait(_WAITING):
            done = subprocess.run(
                command,
                env=query_environment(os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=patience_s,
            )
    except FileNotFoundError:
        raise _not_here(command) from None
    except subprocess.TimeoutExpired as expired:
        stdout, stderr = _decode(expired.stdout), _decode(expired.stderr)
        code = f"no answer in {patience_s:g} s"
        raise SlurmError(command, code, stdout, stderr, timed_out=True) from None
    if done.returncode:
        raise SlurmError(command, f"exit code {done.returncode}", done.stdout, done.stderr)
    return done.stdout


def run_sbatch(command: Sequence[str], patience_s: float) -> str:
    """Run sbatch, but not while it only waits, and return what it prints.

    Where the controller takes no more jobs, sbatch says so and tries again for two minutes. The
    tasks that have to end first take longer. The arguments and errors are those of `run_command`.
    """
    with show_wait(_WAITING):
        return _finish_sbatch(command, patience_s)


def _finish_sbatch(command: Sequence[str], patience_s: float) -> str:
    deadline = time.monotonic() + patience_s
    process = _start(command, sbatch_environment(os.environ))
    while True:
        try:
            stdout, stderr = process.communicate(timeout=_LOOK_S)
            break
        except subprocess.TimeoutExpired as expired:
            stdout, stderr = _decode(expired.stdout), _decode(expired.stderr)
            is_late = time.monotonic() > deadline
            if is_late or submit_limits.is_retrying(stderr):
                process.kill()
                process.communicate()
                code = f"no answer in {patience_s:g} s" if is_late else "it only waits"
                raise SlurmError(command, code, stdout, stderr, timed_out=is_late) from None
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode:
        raise SlurmError(command, f"exit code {process.returncode}", stdout, stderr)
    return stdout


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise _not_here(command) from None


def _not_here(command: Sequence[str]) -> SlurmError:
    words = (
        f"there is no {command[0]} here: run this on a login node of the cluster, "
        "or set cluster.executor: local"
    )
    return SlurmError(command, words, "", "")


def _decode(output: str | bytes | None) -> str:
    """Return what a command had printed before its time ran out; Python leaves it undecoded."""
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
