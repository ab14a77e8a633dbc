"""Move runs aside that labeled nothing because their configuration was wrong.

Once the configuration is another, the next `submit` moves such a run to `set-aside/` and takes its
posts. It does so only if no post was ever answered, so nothing was paid for, and only if the name
has no label and no other run: then its watermark is at the beginning and passes over no post.
"""

import math
from contextlib import ExitStack
from datetime import timedelta

from hpc.executors.base import ExecutorError
from hpc.executors.factory import executor_of
from hpc.planning.run_spec import RunSpec
from hpc.reconcile.look import look
from hpc.report.next_step import command
from hpc.run import run_folder
from hpc.run.model import Run, Say, State
from hpc.run.run_state import RunStatus
from hpc.run.selection import find_rejection
from pipeline.database import duckdb_file, history, label_tables
from pipeline.errors import BusyError
from pipeline.run_files import checkpoint


def discard_runs(spec: RunSpec, say: Say) -> None:
    """Move the name's runs aside if they labeled nothing. The caller holds the run root's lock.

    Raises:
        BusyError: it is too early to be sure. If new posts became a run now, the old run could not
            be moved aside any more.
    """
    candidates = _candidates(spec)
    with ExitStack() as locks:
        try:
            for run in candidates:
                locks.enter_context(run_folder.lock_run(run))
        except BusyError:
            return
        useless = _useless_runs(candidates, lock_is_ours=True)
        for status, too_early in useless:
            if too_early:
                raise BusyError(f"{_problem(spec, status)}; {too_early}. Run submit again then")
        for status, _ in useless:
            database = spec.config.storage.database
            if database.exists():  # first: the run would hold the watermark back
                with duckdb_file.opened(database) as labels:
                    history.delete_run(labels, status.run.run_id)
            new_folder = run_folder.move_to_set_aside(status.run.folder)
            say(f"{_problem(spec, status)}; moved, with its logs, to {new_folder}")


def find_discardable(spec: RunSpec, say: Say) -> frozenset[str]:
    """Return the ids of the runs that a submit would move aside, and report them."""
    candidates = _candidates(spec)
    if any(run_folder.is_locked(run) for run in candidates):
        return frozenset()
    useless = _useless_runs(candidates, lock_is_ours=False)
    for status, too_early in useless:
        say(f"{_problem(spec, status)}; {too_early or 'submit would move it aside'}")
    return frozenset(status.run.run_id for status, _ in useless)


def _problem(spec: RunSpec, status: RunStatus) -> str:
    keys = ", ".join(spec.differing_keys(status.run))
    return f"run {status.run.run_id} labeled nothing and used another configuration ({keys})"


def _candidates(spec: RunSpec) -> list[Run]:
    """Return all runs of the name, if all have another configuration and it has no label."""
    config = spec.config
    runs = run_folder.named(config.storage.run_root, config.name)
    if not runs or not all(spec.differing_keys(run) for run in runs):
        return []
    if config.storage.database.exists():
        with duckdb_file.opened(config.storage.database, read_only=True) as labels:
            newest = history.newest_labeled_run(labels, config.name)
            if newest or label_tables.count(labels, config.name):
                return []
    return runs


def _useless_runs(runs: list[Run], *, lock_is_ours: bool) -> list[tuple[RunStatus, str]]:
    """Return all runs, each with why it is too early to discard it ('' if it is not).

    Empty if one of them may have labeled a post, or may still do so without a person.
    """
    useless = []
    for run in runs:
        executor = executor_of(run)
        status = look(run, executor, lock_is_ours=lock_is_ours)
        if not _needs_a_person(status) or _has_answers(run):
            return []
        try:
            is_alive = executor.has_live_jobs(run)
        except ExecutorError:
            return []
        useless.append((status, _too_early(status, is_alive=is_alive)))
    return useless


def _needs_a_person(status: RunStatus) -> bool:
    observation, judgements = status.observation, status.judgements
    submissions = observation.submissions
    if not submissions or not all(submission.released_at for submission in submissions):
        return False
    if not observation.answered or any(shard.state is State.UNKNOWN for shard in judgements):
        return False
    return find_rejection(observation) is not None or all(
        shard.state is State.BLOCKED and shard.rule == 8 for shard in judgements
    )


def _has_answers(run: Run) -> bool:
    published = [path for name in ("outputs", "raw") for path in (run.folder / name).glob("*")]
    return bool(published) or checkpoint.holds_answers(run.folder / "work")


def _too_early(status: RunStatus, *, is_alive: bool) -> str:
    """Return why the run cannot be discarded yet: a shared file system shows files late."""
    if is_alive or any(each.state in (State.RUNNING, State.QUEUED) for each in status.judgements):
        cancel = command("cancel", status.run)
        return f"it can be replaced once its tasks have ended (to end them: {cancel})"
    observation = status.observation
    ends = [attempt.last_change for shard in observation.shards for attempt in shard.attempts]
    grace = timedelta(seconds=status.run.cluster.grace_seconds)
    seconds = math.ceil((grace - (observation.observed_at - max(ends))).total_seconds())
    return f"it can be replaced in {seconds} s" if seconds > 0 else ""
