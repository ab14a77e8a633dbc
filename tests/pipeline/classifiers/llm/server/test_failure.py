"""What each end of a server means for its task."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.llm.server.failure import ServerFailure, of_report
from pipeline.classifiers.llm.server.log import LogEnd
from pipeline.config.secret import NO_KEY, Secret
from pipeline.errors import Cause

SAID = LogEnd(telling="RuntimeError: x", lines=("a", "RuntimeError: x"))
NO_GPU_MEMORY = LogEnd(telling="CUDA out of memory", lines=(), out_of_memory=True)
TAKEN = LogEnd(telling="address already in use", lines=(), port_taken=True)
ADVICE = " (the GPU's memory: a smaller model, context or batch, or a larger GPU)"
KERNEL = "the server was killed by the kernel: it needs more memory than the task has"


def death(
    report: dict[str, Any], log: LogEnd, served: bool, memory_kill: bool = False
) -> ServerFailure:
    return of_report(report, program="vllm", log=log, served=served, memory_kill=memory_kill)


def unstarted(number: int) -> ServerFailure:
    report = {"not_started": os.strerror(number), "errno": number}
    return death(report, LogEnd(), False)


@pytest.mark.parametrize(
    ("one", "cause", "message", "blames_post", "may_pass"),
    [
        (death({"code": 0}, SAID, True), Cause.CRASHED,
         "the server ended with exit code 0: RuntimeError: x", True, True),
        # As one does that goes on in the background: nothing of it is left, either.
        (death({"code": 0}, LogEnd(), False), Cause.CRASHED,
         "the server ended with exit code 0 while it started (it has to stay in the foreground)",
         False, True),
        (death({"code": -11}, SAID, False), Cause.CRASHED,
         "the server was killed by SIGSEGV while it started: RuntimeError: x", False, True),
        (death({"code": -11}, SAID, True), Cause.CRASHED,
         "the server was killed by SIGSEGV: RuntimeError: x", True, True),
        # No post's doing: the kernel's, whose count cannot be read everywhere, or a person's.
        (death({"code": -9}, SAID, True), Cause.CRASHED,
         "the server was killed by SIGKILL: RuntimeError: x", False, True),
        (death({"code": 137}, SAID, True), Cause.CRASHED,
         "the server ended with exit code 137: RuntimeError: x", False, True),
        (death({"code": -9}, LogEnd(), True, True), Cause.OUT_OF_MEMORY, KERNEL, False, False),
        # Not the server itself, but a worker of it.
        (death({"code": 1}, SAID, True, True), Cause.OUT_OF_MEMORY,
         f"{KERNEL}: RuntimeError: x", False, False),
        (death({"code": 1}, NO_GPU_MEMORY, True), Cause.OUT_OF_MEMORY,
         f"the server ended with exit code 1: CUDA out of memory{ADVICE}", False, False),
        (unstarted(errno.ENOENT), Cause.REFUSED,
         "the server cannot be started: vllm: No such file or directory", False, False),
        (unstarted(errno.E2BIG), Cause.REFUSED,
         "the server cannot be started: vllm: Argument list too long", False, False),
        # The node's at the moment, and not the run's: fork lacks memory, or the user has as many
        # processes as they may; a file system is away.
        (unstarted(errno.ENOMEM), Cause.OUT_OF_MEMORY,
         "the server cannot be started: vllm: Cannot allocate memory", False, False),
        (unstarted(errno.EAGAIN), Cause.CRASHED,
         "the server cannot be started: vllm: Resource temporarily unavailable", False, True),
        (unstarted(errno.ESTALE), Cause.CRASHED,
         "the server cannot be started: vllm: Stale file handle", False, True),
        (death({}, LogEnd(), True), Cause.CRASHED, "the server lost the process that guards it",
         False, True),
        (ServerFailure(what="was not ready", hangs=True), Cause.CRASHED, "the server was not ready",
         False, False),
    ],
)  # fmt: skip
def test_cause_and_words(
    one: ServerFailure, cause: Cause, message: str, blames_post: bool, may_pass: bool
) -> None:
    error = one.as_error(NO_KEY, Path("/x/log"), again=False)
    assert (error.cause, str(error), error.blames_post) == (cause, message, blames_post)
    assert error.stops_run is (cause is Cause.REFUSED)
    assert one.may_pass is may_pass


def test_a_second_death_is_told_as_one() -> None:
    error = death({"code": 3}, SAID, True).as_error(NO_KEY, Path("/x/log"), again=True)
    assert str(error) == "the server, started again, ended with exit code 3: RuntimeError: x"


def test_the_logs_last_lines_are_a_note_without_the_key() -> None:
    error = death({"code": 3}, SAID, True).as_error(
        Secret("RuntimeError"), Path("/log"), again=False
    )
    assert str(error) == "the server ended with exit code 3: [key]: x"
    assert error.__notes__ == ["the end of /log:\n| a\n| [key]: x"]


def test_a_taken_port_is_one_only_while_the_server_starts() -> None:
    """Later on it is a request's own words, or another port."""
    assert death({"code": 1}, TAKEN, False).port_taken
    assert not death({"code": 1}, TAKEN, True).port_taken
