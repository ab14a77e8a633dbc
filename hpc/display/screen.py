"""Define where a command shows what it does: a terminal, a file, or the caller of a function."""

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from hpc.display.blocks import Block
from hpc.run.run_view import RunView
from pipeline.progress import Progress


@runtime_checkable
class Screen(Progress, Protocol):
    """Shows messages, reports, the steps of long work and a run that is watched, and waits.

    `hpc.display.console.Printer` is one for people at a shell. `hpc.api.call.caller_screen` is one
    for programs, which hands everything to a function of theirs.
    """

    def __call__(self, message: str) -> None:
        """Show a message."""

    def show(self, *blocks: Block) -> None:
        """Show a report."""

    def wait(self, seconds: float, why: str) -> None:
        """Let time pass.

        Args:
            seconds: how long to wait.
            why: what for, a phrase that the remaining time can follow.
        """

    def awaiting(self, what: str) -> AbstractContextManager[object]:
        """Show within a block what it waits for, if that takes long.

        Args:
            what: what is waited for, a phrase that a time can follow: "waiting for Slurm".
        """

    def watching(self, leaving: str) -> AbstractContextManager[RunView]:
        """Return a view of a run that is looked at again and again.

        Args:
            leaving: what Ctrl-C does, as a sentence.
        """
