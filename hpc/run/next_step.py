"""Choose the command that a person should type next. Pure."""

import msgspec

from hpc.run.model.shards import State
from hpc.run.outage import find_outage
from hpc.run.run_state import RunState, RunStatus
from hpc.run.selection import find_rejection
from pipeline.errors import Cause


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    """A command about a run, or nothing where everything is done."""

    verb: str | None
    """The verb to type; None where the run is complete and gathered."""
    options: tuple[str, ...] = ()
    """The options that the verb needs."""
    may_be_misconfigured: bool = False
    """Whether the service rejected the run before any shard was done, so that the configuration
    may be what is wrong."""


_STEP: dict[RunState, NextStep] = {
    RunState.COMPLETE: NextStep(verb="gather"),
    RunState.RUNNING: NextStep(verb="supervise"),
    RunState.UNKNOWN: NextStep(verb="status"),
    RunState.ENDING: NextStep(verb="supervise"),
    RunState.BLOCKED: NextStep(verb="resubmit", options=("--force",)),
    RunState.FAILED: NextStep(verb="resubmit"),
    RunState.PLANNED: NextStep(verb="supervise"),
}


def next_command(status: RunStatus) -> NextStep:
    """Return the command to type next, whether or not anything is left to gather.

    Only force resumes a run that was rejected, or whose tasks a person canceled. A task that Slurm
    holds counts as alive even for `resubmit --force`, so it has to be canceled first. An output
    that cannot be read has to be made readable, as the shard's message says. While the service
    answers nobody, `resubmit` would let every shard ask it, and `supervise` lets one.
    """
    blocked = [shard for shard in status.judgements if shard.state is State.BLOCKED]
    if status.state is RunState.BLOCKED and all(shard.is_held for shard in blocked):
        return NextStep(verb="cancel")
    if status.state is RunState.BLOCKED and all(shard.is_unreadable for shard in blocked):
        return NextStep(verb="status")
    if status.state is not RunState.COMPLETE and find_rejection(status.observation):
        return _STEP[RunState.BLOCKED]
    is_canceled = any(shard.cause is Cause.CANCELLED for shard in blocked)
    if is_canceled and status.state not in (RunState.RUNNING, RunState.UNKNOWN):
        return _STEP[RunState.BLOCKED]
    if status.state is RunState.FAILED and find_outage(status.observation):
        return _STEP[RunState.RUNNING]
    if any(shard.awaits_engine for shard in status.judgements):
        return NextStep(verb="adopt")
    return _STEP[status.state]


def next_step(status: RunStatus, *, is_gathered: bool) -> NextStep:
    """Return what a person should do next.

    Args:
        status: the run as it is now.
        is_gathered: whether the database has every shard as it is published now.
    """
    if status.state is RunState.COMPLETE and is_gathered:
        return NextStep(verb=None)
    step = next_command(status)
    rejected = not status.is_under_way and find_rejection(status.observation) is not None
    if not rejected or any(shard.output.verified for shard in status.observation.shards):
        return step
    return NextStep(verb=step.verb, options=step.options, may_be_misconfigured=True)
