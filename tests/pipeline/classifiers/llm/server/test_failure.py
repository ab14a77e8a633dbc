"""What each end of a server means for its task, and the messages about it."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.llm.server.failure import ServerFailure, failure_from_report
from pipeline.classifiers.llm.server.log import LogEnd
from pipeline.config.secret import NO_KEY, Secret
from pipeline.errors import Cause

ERROR = LogEnd(error_line="RuntimeError: x", lines=("a", "RuntimeError: x"))
NO_GPU_MEMORY = LogEnd(error_line="CUDA out of memory", lines=(), out_of_memory=True)
TAKEN = LogEnd(error_line="address already in use", lines=(), port_taken=True)
ADVICE = " (GPU memory: use a smaller model, context or batch, or a larger GPU)"
KERNEL = "the server was killed by the kernel: it needs more memory than the task has"


def ended(
    report: dict[str, Any], log: LogEnd, served: bool, memory_kill: bool = False
) -> ServerFailure:
    return failure_from_report(
        report, program="vllm", log=log, served=served, memory_kill=memory_kill
    )


def not_started(number: int) -> ServerFailure:
    report = {"not_started": os.strerror(number), "errno": number}
    return ended(report, LogEnd(), False)


@pytest.mark.parametrize(
    ("failure", "cause", "message", "blames_post", "may_pass"),
    [
        (ended({"code": 0}, ERROR, True), Cause.CRASHED,
         "the server ended with exit code 0: RuntimeError: x", True, True),
        # A server that continues in the background ends like this; the guard ends the rest of it.
        (ended({"code": 0}, LogEnd(), False), Cause.CRASHED,
         "the server ended with exit code 0 while starting (it must stay in the foreground)",
         False, True),
        (ended({"code": -11}, ERROR, False), Cause.CRASHED,
         "the server was killed by SIGSEGV while starting: RuntimeError: x", False, True),
        (ended({"code": -11}, ERROR, True), Cause.CRASHED,
         "the server was killed by SIGSEGV: RuntimeError: x", True, True),
        # Not a post's fault: the kernel, whose count cannot be read everywhere, or a person.
        (ended({"code": -9}, ERROR, True), Cause.CRASHED,
         "the server was killed by SIGKILL: RuntimeError: x", False, True),
        (ended({"code": 137}, ERROR, True), Cause.CRASHED,
         "the server ended with exit code 137: RuntimeError: x", False, True),
        (ended({"code": -9}, LogEnd(), True, True), Cause.OUT_OF_MEMORY, KERNEL, False, False),
        # One of the server's workers was killed.
        (ended({"code": 1}, ERROR, True, True), Cause.OUT_OF_MEMORY,
         f"{KERNEL}: RuntimeError: x", False, False),
        (ended({"code": 1}, NO_GPU_MEMORY, True), Cause.OUT_OF_MEMORY,
         f"the server ended with exit code 1: CUDA out of memory{ADVICE}", False, False),
        (not_started(errno.ENOENT), Cause.REFUSED,
         "the server cannot be started: vllm: No such file or directory", False, False),
        (not_started(errno.E2BIG), Cause.REFUSED,
         "the server cannot be started: vllm: Argument list too long", False, False),
        # A problem of the node at the moment, not of the run: no memory to fork, too many processes
        # of the user, a file system that is away.
        (not_started(errno.ENOMEM), Cause.OUT_OF_MEMORY,
         "the server cannot be started: vllm: Cannot allocate memory", False, False),
        (not_started(errno.EAGAIN), Cause.CRASHED,
         "the server cannot be started: vllm: Resource temporarily unavailable", False, True),
        (not_started(errno.ESTALE), Cause.CRASHED,
         "the server cannot be started: vllm: Stale file handle", False, True),
        (ended({}, LogEnd(), True), Cause.CRASHED, "the server lost its guard process",
         False, True),
        (ServerFailure(event="was not ready", was_never_ready=True), Cause.CRASHED,
         "the server was not ready", False, False),
    ],
)  # fmt: skip
def test_a_failure_has_a_cause_and_a_message(
    failure: ServerFailure, cause: Cause, message: str, blames_post: bool, may_pass: bool
) -> None:
    error = failure.to_error(NO_KEY, Path("/x/log"), restarted=False)
    assert (error.cause, str(error), error.blames_post) == (cause, message, blames_post)
    assert error.stops_run is (cause is Cause.REFUSED)
    assert failure.may_pass is may_pass


def test_the_message_says_that_the_server_had_been_restarted() -> None:
    error = ended({"code": 3}, ERROR, True).to_error(NO_KEY, Path("/x/log"), restarted=True)
    assert str(error) == "the restarted server ended with exit code 3: RuntimeError: x"


def test_the_logs_last_lines_are_a_note_without_the_key() -> None:
    error = ended({"code": 3}, ERROR, True).to_error(
        Secret("RuntimeError"), Path("/log"), restarted=False
    )
    assert str(error) == "the server ended with exit code 3: [key]: x"
    assert error.__notes__ == ["the end of /log:\n| a\n| [key]: x"]


def test_a_port_counts_as_taken_only_while_the_server_starts() -> None:
    """Later the words come from a request, or are about another port."""
    assert ended({"code": 1}, TAKEN, False).port_taken
    assert not ended({"code": 1}, TAKEN, True).port_taken
