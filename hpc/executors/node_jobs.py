"""Ask an executor before a run exists: whether it would take a script, and for a job on a node."""

from pathlib import Path
from typing import Protocol

import msgspec

from hpc.run.cluster.resources import Resources
from hpc.run.model.attempts import Phase


class SubmissionTest(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an executor would take a submission, by its own words."""

    is_accepted: bool
    words: str = ""
    """What it said, on one line; '' if there was nothing to say."""
    advice: str = ""
    """What a person can do about a rejection; '' if nothing is known."""
    is_limit: bool = False
    """Whether only the number of submitted jobs is too large now."""
    may_await_nodes: bool = False
    """Whether nodes that are down or drained now may be all that is missing."""


class NodeJobState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job has come that looks at a node."""

    phase: Phase
    words: str
    """The executor's own word for it."""
    node: str = ""
    """The node that it runs or ran on; '' if none is known."""
    reason: str = ""
    """Why it is pending, in the executor's words."""
    advice: str = ""
    """What a person can do about that."""
    exit_code: int | None = None
    """The exit code of its script; None before its end, or if a signal ended it."""


class NodeJob(msgspec.Struct, frozen=True, kw_only=True):
    """A short job that looks at a node with the resources and the environment of a task."""

    name: str
    """A name that no other job has."""
    folder: Path
    """The folder that it works in; it exists."""
    module: str
    """The module that it runs with `folder` as its only argument."""
    minutes: int
    """Its time limit."""
    resources: Resources
    """What a task requests."""


NO_FOLDER = 41
"""The exit code of the script where the node does not see the folder."""
LOG = "job.log"
"""What the job and its setup print, in the folder."""


class NodeJobs(Protocol):
    """Runs single jobs on nodes. Every method raises ExecutorError if the executor refuses."""

    def submit(self, job: NodeJob) -> int:
        """Submit a job and return its id."""

    def look(self, job: int) -> NodeJobState:
        """Return how far the job has come."""

    def cancel(self, job: int) -> None:
        """End the job, whatever its state. Does nothing once it has ended."""
