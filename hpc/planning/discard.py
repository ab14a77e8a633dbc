"""Move runs aside that labeled nothing because their configuration was wrong.

Once the configuration is another, the next `submit` moves such a run to `set-aside/` and takes its
posts. It does so only if no post was ever answered, so nothing was paid for, and only if the name
has no label and no other run: then its watermark is at the beginning and passes over no post.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from hpc.display.next_step import command
from hpc.executors.base import ExecutorError
from hpc.executors.factory import executor_of
from hpc.locks import run_lock
from hpc.planning.run_spec import RunSpec
from hpc.reconcile.look import look
from hpc.run import run_folder
from hpc.run.judge import rest_of_grace
from hpc.run.model.run import Run, Say
from hpc.run.model.shards import State
from hpc.run.run_state import RunStatus
from hpc.run.selection import find_rejection
from hpc.runs import find_runs
from pipeline.database import duckdb_file, history, label_tables
from pipeline.errors import BusyError, InputError, UnreadableError
from pipeline.run_files.checkpoints import parts
from pipeline.text import format_duration


@dataclass(frozen=True, slots=True)
class TooEarly:
    """Why a run cannot be moved aside yet, and when it can."""

    seconds: float | None
    """For how long files of its tasks may show up late; None while tasks are alive."""
    words: str


def discard_runs(spec: RunSpec, say: Say) -> float:
    """Move the name's runs aside if they labeled nothing. The caller holds the run root's lock.

    Returns:
        How many seconds to wait before the next try. 0 if there is nothing to wait for. If new
        posts became a run before that, the old run could not be moved aside any more.

    Raises:
        BusyError: tasks of such a run are alive, and nobody knows for how long.
    """
    candidates = _candidates(spec)
    with ExitStack() as locks:
        try:
            for run in candidates:
                locks.enter_context(run_lock.lock_run(run))
        except BusyError:
            return 0.0
        useless = _useless_runs(candidates, lock_is_ours=True)
        waits: list[float] = []
        for status, too_early in useless:
            if too_early and too_early.seconds is None:
                text = f"{_problem(spec, status)}; {too_early.words}. Run submit again then"
                raise BusyError(text)
            if too_early and too_early.seconds:
                waits.append(too_early.seconds)
                say(_problem(spec, status))
        if waits:
            return max(waits)
        for status, _ in useless:
            database = spec.config.storage.database
            if database.exists():  # first: the run would hold the watermark back
                with duckdb_file.open_database(database) as labels:
                    history.delete_run(labels, status.run.run_id)
            new_folder = run_folder.move_to_set_aside(status.run.folder)
            say(f"{_problem(spec, status)}; moved, with its logs, to {new_folder}")
    return 0.0


def find_discardable(spec: RunSpec, say: Say) -> frozenset[str]:
    """Return the ids of the runs that a submit would move aside, and report them."""
    if spec.cluster_trouble:  # nobody can tell whether their tasks are alive
        return frozenset()
    candidates = _candidates(spec)
    if any(run_lock.is_locked(run) for run in candidates):
        return frozenset()
    useless = _useless_runs(candidates, lock_is_ours=False)
    for status, too_early in useless:
        what = too_early.words if too_early else "submit would move it aside"
        say(f"{_problem(spec, status)}; {what}")
    return frozenset(status.run.run_id for status, _ in useless)


def _problem(spec: RunSpec, status: RunStatus) -> str:
    keys = ", ".join(spec.differing_keys(status.run))
    return f"run {status.run.run_id} labeled nothing and used another configuration ({keys})"


def _candidates(spec: RunSpec) -> list[Run]:
    """Return all runs of the name, if all have another configuration and it has no label."""
    config = spec.config
    runs = find_runs.load_named(config.storage.run_root, config.name)
    if not runs or not all(spec.differing_keys(run) for run in runs):
        return []
    if duckdb_file.exists(config.storage.database):
        with duckdb_file.open_database(config.storage.database, read_only=True) as labels:
            newest = history.newest_labeled_run(labels, config.name)
            if newest or label_tables.count(labels, config.name):
                return []
    return runs


def _useless_runs(
    runs: list[Run], *, lock_is_ours: bool
) -> list[tuple[RunStatus, TooEarly | None]]:
    """Return all runs, each with why it is too early to discard it.

    Empty if one of them may have labeled a post, or may still do so without a person.
    """
    useless = []
    for run in runs:
        executor = executor_of(run)
        try:
            status = look(run, executor, lock_is_ours=lock_is_ours)
        except (InputError, UnreadableError):  # it may have labeled posts
            return []
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
    return bool(published) or parts.holds_answers(run.folder / "work")


def _too_early(status: RunStatus, *, is_alive: bool) -> TooEarly | None:
    """Return why the run cannot be discarded yet: a shared file system shows files late."""
    if is_alive or any(each.state in (State.RUNNING, State.QUEUED) for each in status.judgements):
        cancel = command("cancel", status.run)
        return TooEarly(
            None, f"it can be replaced once its tasks have ended (to end them: {cancel})"
        )
    observation = status.observation
    grace = timedelta(seconds=status.run.cluster.grace_seconds)
    seconds = max(rest_of_grace(shard, observation, grace) for shard in observation.shards)
    if not seconds:
        return None
    return TooEarly(seconds, f"submit would move it aside in {format_duration(seconds)}")
