"""Decide what the end of a server means for its task."""

import errno
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.classifiers.llm.server.log import LogEnd
from pipeline.config.secret import Secret
from pipeline.errors import Cause, TaskError

# Errors of fork and exec that are the command's or the configuration's fault: every task gets them.
_PERMANENT_ERRORS = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR),
    *(errno.ENOEXEC, errno.ELOOP, errno.E2BIG),
}

# SIGKILL is never a post's doing. It comes from a person, or from the kernel because memory ran out
# where the kernel's count of that cannot be read. The guard sees -9, or 137 from a shell around the
# server; there is no exit code if the guard was killed itself, and the server with it.
_KILLED_FROM_OUTSIDE = (-signal.SIGKILL, 128 + signal.SIGKILL, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerFailure:
    """How a server failed."""

    event: str
    """What the server did, to follow "the server", such as "ended with exit code 1"."""

    log: LogEnd = LogEnd()  # noqa: RUF009 - frozen
    """The end of its log."""

    served: bool = False
    """Whether it was ready, so that requests may have been in flight."""

    cannot_run: bool = False
    """Whether the command cannot be run at all."""

    was_never_ready: bool = False
    """Whether it took too long to start; the next one would too."""

    out_of_memory: bool = False
    """Whether it needs more memory, the node's or the GPU's."""

    killed_from_outside: bool = False
    """Whether a person or the kernel ended it."""

    port_taken: bool = False
    """Whether another process had its port."""

    @property
    def may_pass(self) -> bool:
        """Report whether the same command may succeed when it is run again at once."""
        return not (self.cannot_run or self.was_never_ready or self.out_of_memory)

    def to_error(self, secret: Secret, log: Path, *, restarted: bool) -> TaskError:
        """Return the error that ends the task, without the key.

        Tasks whose servers fail in the same way have the same message, so that a report can group
        them. The log's last lines are a note, which the traceback shows.

        Args:
            secret: the key to redact.
            log: the file that the server's output went to.
            restarted: whether this server was itself a second try.
        """
        cause = Cause.REFUSED if self.cannot_run else Cause.CRASHED
        advice = ""
        if self.out_of_memory:
            cause = Cause.OUT_OF_MEMORY
        if self.log.out_of_memory:
            advice = " (GPU memory: use a smaller model, context or batch, or a larger GPU)"
        server = "the restarted server" if restarted else "the server"
        error_line = f": {self.log.error_line}" if self.log.error_line else ""
        error = TaskError(
            cause,
            secret.redact(f"{server} {self.event}{error_line}{advice}"),
            blames_post=self.served and cause is Cause.CRASHED and not self.killed_from_outside,
        )
        if self.log.lines:
            lines = secret.redact("\n".join(f"| {line}" for line in self.log.lines))
            error.add_note(f"the end of {log}:\n{lines}")
        return error


def failure_from_report(
    report: Mapping[str, Any], *, program: str, log: LogEnd, served: bool, memory_kill: bool
) -> ServerFailure:
    """Return what the guard's report of a server that ended means.

    Args:
        report: the guard's report; empty where the guard was killed.
        program: the server's program, for the message.
        log: the end of the server's log.
        served: whether the server was ready.
        memory_kill: whether the kernel has killed a process of the task since the server started,
            because memory ran out. It may be the server or one of its workers, after which the
            server ends by itself.
    """
    if reason := report.get("not_started"):
        number = report.get("errno")
        return ServerFailure(
            event=f"cannot be started: {program}: {reason}",
            cannot_run=number in _PERMANENT_ERRORS,
            out_of_memory=number == errno.ENOMEM,
        )
    code = report.get("code")
    while_starting = "" if served else " while starting"
    if code == 0 and not served:
        while_starting += " (it must stay in the foreground)"
    return ServerFailure(
        event=_describe_end(code, memory_kill, while_starting),
        log=log,
        served=served,
        out_of_memory=memory_kill or log.out_of_memory,
        killed_from_outside=code in _KILLED_FROM_OUTSIDE,
        port_taken=log.port_taken and not served,
    )


def _describe_end(code: int | None, memory_kill: bool, while_starting: str) -> str:
    if code is None:
        return f"lost its guard process{while_starting}"
    if memory_kill:
        return f"was killed by the kernel{while_starting}: it needs more memory than the task has"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}{while_starting}"
    return f"ended with exit code {code}{while_starting}"
