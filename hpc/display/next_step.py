"""Write the next command as a person types it."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpc.display.run.label_counts import describe_no_label
from hpc.run.array_indices import format_indices
from hpc.run.model.run import Run
from hpc.run.model.shards import CaretakerJob, State
from hpc.run.next_step import NextStep, next_command, next_step
from hpc.run.run_state import RunState, RunStatus
from pipeline.run_files.manifest import ANSWERS
from pipeline.text import counted

_IF_CONFIGURED_WRONGLY = (
    "If the configuration was wrong, fix it and run hpc submit again: this run, which has "
    "published no labels, is then set aside, unless its name has labels or another run.\n"
    "What changes no label, such as the key file, can be corrected in this run: "
    "hpc resubmit --config FILE\n"
    "If the configuration was right, fix the cause and resume.\n"
)


_FORCE = "--force"
_LONGEST_INDICES = 40

# With options, such as --force, they are a person's decision.
_DONE_BY_CARETAKER = frozenset({"gather", "resubmit", "supervise"})

# The verbs that report on, or write to, the run's database.
_TAKE_DATABASE = frozenset({"adopt", "cancel", "gather", "resubmit", "status", "supervise"})


def command(verb: str, run: Run, *options: str) -> str:
    """Return a command about a run, ready to be pasted into a shell.

    The run's folder is relative to the working folder if it lies below that. A database that was
    named for this command is named for the next one too.
    """
    if run.chosen_database is not None and verb in _TAKE_DATABASE:
        options = (*options, "--database", shlex.quote(str(run.chosen_database)))
    here = Path.cwd()
    folder = run.folder.relative_to(here) if run.folder.is_relative_to(here) else run.folder
    if verb == "adopt":  # of a folder with answers; that in the run's folder says which run it is
        folder /= ANSWERS
    return f"hpc {' '.join([verb, *options, shlex.quote(str(folder))])}"


def describe_caretaken(run: Run, caretaker: CaretakerJob | None = None) -> str:
    """Return that a caretaker continues a run, and how to look at it.

    Args:
        run: the run.
        caretaker: its job; None for one that was just submitted.
    """
    does = "continues when the arrays have ended"
    if caretaker and caretaker.is_running:
        does = "supervises the run now"
    which = f" (job {caretaker.job})" if caretaker else ""
    return f"next: nothing; the caretaker{which} {does}. To look: {command('status', run)}"


def describe_next_command(status: RunStatus) -> str:
    """Return the command to type next, whether or not anything is left to gather."""
    step = next_command(status)
    if _is_left_to_caretaker(status, step):
        return command("status", status.run)
    return _command(status.run, step)


def _is_left_to_caretaker(status: RunStatus, step: NextStep) -> bool:
    """Tell whether a job of the run takes the next step by itself."""
    is_its_work = step.verb in _DONE_BY_CARETAKER and not step.options
    has_caretaker = status.observation.caretaker is not None
    return has_caretaker and is_its_work and not step.may_be_misconfigured


def describe_next_step(status: RunStatus, *, is_gathered: bool) -> str:
    """Return what to do next, or that nothing is left to do.

    Args:
        status: the run as it is now.
        is_gathered: whether the database has every shard as it is published now.
    """
    step = next_step(status, is_gathered=is_gathered)
    if status.lacks_labels:
        rest = f"\nnext: {_command(status.run, step)}" if step.verb else ""
        return f"{describe_no_label(status.labels)}{rest}"
    if step.verb is None:
        return f"done: every post of the run has a row in {status.run.manifest.database}"
    hint = _IF_CONFIGURED_WRONGLY if step.may_be_misconfigured else ""
    retry = "To retry {shards} after fixing the cause: {command}"
    hint += "".join(f"{line}\n" for line in _describe_left_blocked(status, step, retry))
    if _is_left_to_caretaker(status, step):
        return f"{hint}{describe_caretaken(status.run, status.observation.caretaker)}"
    return f"{hint}next: {_command(status.run, step)}"


def describe_left_blocked(status: RunStatus) -> tuple[str, ...]:
    """Return a line about the blocked shards that the supervising process does not retry.

    It holds the run's lock, so it has to stop before another command can retry them.
    """
    retry = "To retry {shards} after fixing the cause, stop this command and type: {command}"
    return tuple(_describe_left_blocked(status, next_command(status), retry))


def _describe_left_blocked(status: RunStatus, step: NextStep, retry: str) -> Iterator[str]:
    """Yield a line about the blocked shards that the next command does not retry."""
    if status.state is RunState.BLOCKED or _FORCE in step.options:
        return
    blocked = [shard for shard in status.judgements if shard.state is State.BLOCKED]
    ended = [shard.index for shard in blocked if not (shard.is_held or shard.is_unreadable)]
    waiting = [shard.index for shard in blocked if shard.is_held or shard.is_unreadable]
    if ended:
        indices = format_indices(ended)
        # A long list of them is not typed again; without it, all that have ended are retried.
        chosen = ("--indices", indices) if len(indices) <= _LONGEST_INDICES else ()
        typed = command("resubmit", status.run, _FORCE, *chosen)
        it = "it" if len(ended) == 1 else "them"
        yield f"{_needs_person(ended)}. {retry.format(shards=it, command=typed)}"
    if waiting:
        yield f"{_needs_person(waiting)}: hpc status says why"


def _needs_person(shards: Sequence[int]) -> str:
    if len(shards) == 1:
        return f"shard {shards[0]} is blocked and needs you"
    return f"{counted(len(shards), 'shard')} are blocked and need you"


def describe_unchanged(status: RunStatus) -> str:
    """Return a line about a run that was complete and gathered before somebody looked."""
    manifest = status.run.manifest
    return (
        f"run {status.run.run_id} is complete, and nothing is new: each of its "
        f"{counted(manifest.posts, 'post')} has a row in {manifest.database}"
    )


def _command(run: Run, step: NextStep) -> str:
    return command(step.verb or "status", run, *step.options)
