"""How a server's life ended, and what that means for its task."""

import errno
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.classifiers.llm.server.log import LogEnd
from pipeline.config.secret import Secret
from pipeline.errors import Cause, TaskError

# Of fork and exec: the command is at fault, or the configuration, and so for every task.
_REFUSALS = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR),
    *(errno.ENOEXEC, errno.ELOOP, errno.E2BIG),
}

# SIGKILL, which no post makes a server die of: it is a person, or the kernel for want of memory,
# where its count of that cannot be read. As the guard sees it; as a shell does, around the server;
# to the guard (no code), with which the server goes.
_FROM_OUTSIDE = (-signal.SIGKILL, 128 + signal.SIGKILL, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerFailure:
    """`what` the server did, as "ended with exit code 1". `served`: requests may have been in
    flight. `refused`: it never ran. `hangs`: it was not ready in time, nor would the next one be.
    `from_outside`: somebody else, or the kernel, ended it.
    """

    what: str
    log: LogEnd = LogEnd()  # noqa: RUF009 - frozen
    served: bool = False
    refused: bool = False
    hangs: bool = False
    out_of_memory: bool = False
    from_outside: bool = False
    port_taken: bool = False

    @property
    def may_pass(self) -> bool:
        """Whether the same command may fare better at once."""
        return not (self.refused or self.hangs or self.out_of_memory)

    def as_error(self, secret: Secret, log: Path, *, again: bool) -> TaskError:
        """The message is the same for tasks that fare the same, so that they are told as one; the
        log's last lines are a note, which the traceback shows. Without the key."""
        cause = Cause.REFUSED if self.refused else Cause.CRASHED
        advice = ""
        if self.out_of_memory:
            cause = Cause.OUT_OF_MEMORY
        if self.log.out_of_memory:
            advice = " (the GPU's memory: a smaller model, context or batch, or a larger GPU)"
        who = "the server, started again," if again else "the server"
        telling = f": {self.log.telling}" if self.log.telling else ""
        error = TaskError(
            cause,
            secret.redact(f"{who} {self.what}{telling}{advice}"),
            blames_post=self.served and cause is Cause.CRASHED and not self.from_outside,
        )
        if self.log.lines:
            lines = "\n".join(f"| {secret.redact(line)}" for line in self.log.lines)
            error.add_note(f"the end of {log}:\n{lines}")
        return error


def of_report(
    report: Mapping[str, Any], *, program: str, log: LogEnd, served: bool, memory_kill: bool
) -> ServerFailure:
    """What the guard reports of a server that ended.

    Args:
        memory_kill: the kernel has killed some process of the task's for want of memory since: the
            server's own, or a worker of it, after which it ends by itself.
    """
    if reason := report.get("not_started"):
        number = report.get("errno")
        return ServerFailure(
            what=f"cannot be started: {program}: {reason}",
            refused=number in _REFUSALS,
            out_of_memory=number == errno.ENOMEM,
        )
    code = report.get("code")
    while_starting = "" if served else " while it started"
    if code == 0 and not served:
        while_starting += " (it has to stay in the foreground)"
    return ServerFailure(
        what=_in_words(code, memory_kill) + while_starting,
        log=log,
        served=served,
        out_of_memory=memory_kill or log.out_of_memory,
        from_outside=code in _FROM_OUTSIDE,
        port_taken=log.port_taken and not served,
    )


def _in_words(code: int | None, memory_kill: bool) -> str:
    if code is None:
        return "lost the process that guards it"
    if memory_kill:
        return "was killed by the kernel: it needs more memory than the task has"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
