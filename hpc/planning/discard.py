"""Runs that came to nothing because their configuration was wrong: once it is another, the next
`submit` sets them aside, and their posts are free.

Only under a name that has no label and no other run, so that its watermark is at the beginning and
passes over nobody; and only runs whose classifier has answered for no post: nothing in them was
paid for.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hpc.executors.base import ExecutorError
from hpc.executors.factory import executor_of
from hpc.planning.run_spec import RunSpec
from hpc.reconcile.look import look
from hpc.run import run_folder, submissions
from hpc.run.model import Judgement, Run, Say, State
from hpc.run.resources import Cluster
from hpc.run.retry_policy import RetryPolicy
from hpc.run.selection import find_rejection
from pipeline.database import duckdb_file, history, label_tables
from pipeline.errors import BusyError
from pipeline.model import TOO_SHORT, JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fruitless:
    """`seconds`: so long may a file still show that says otherwise; None: tasks may be at work."""

    run: Run
    seconds: int | None

    @property
    def when(self) -> str:
        if self.seconds is None:
            return f" once its tasks have ended (python -m hpc.cancel {self.run.folder} ends them)"
        return f" in {self.seconds} s, when no more of its files can show" if self.seconds else ""


def discard_runs(agreed: RunSpec, say: Say) -> None:
    """The caller holds the run root's lock.

    Raises BusyError where a run came to nothing and it is too early to be sure: planned now, new
    posts would be a run that keeps the other from being set aside.
    """
    runs = _candidates(agreed)
    with ExitStack() as held:
        try:
            for run in runs:
                held.enter_context(run_folder.lock_run(run))
        except BusyError:
            return
        fruitless = _fruitless(runs, lock_is_ours=True)
        for one in fruitless:
            if one.seconds != 0:
                raise BusyError(f"{_told(one.run, agreed)}: submit sets it aside{one.when}")
        database = agreed.config.storage.database
        for run in (one.run for one in fruitless):
            if database.exists():  # first: what is there of a run would hold the watermark back
                with duckdb_file.opened(database) as labels:
                    history.delete_run(labels, run.run_id)
            kept = run_folder.move_to_set_aside(run.folder)
            say(f"{_told(run, agreed)}: set aside, with its logs, as {kept}")


def find_discardable(agreed: RunSpec, say: Say) -> frozenset[str]:
    """The ids of the runs that a submit would set aside."""
    runs = _candidates(agreed)
    fruitless = [] if any(map(run_folder.is_locked, runs)) else _fruitless(runs)
    for one in fruitless:
        say(f"{_told(one.run, agreed)}: it would be set aside{one.when}")
    return frozenset(one.run.run_id for one in fruitless)


def _candidates(agreed: RunSpec) -> list[Run]:
    """All runs of the name, where each has another configuration and nothing is labelled."""
    config = agreed.config
    runs = run_folder.named(config.storage.run_root, config.name)
    if not all(_changed(run, agreed) for run in runs):
        return []
    if runs and config.storage.database.exists():
        with duckdb_file.opened(config.storage.database, read_only=True) as labels:
            if history.newest_labelled_run(labels, config.name) or label_tables.count(
                labels, config.name
            ):
                return []
    return runs


def _told(run: Run, agreed: RunSpec) -> str:
    changed = ", ".join(_changed(run, agreed))
    return f"run {run.run_id} came to nothing, and had another configuration ({changed})"


def _changed(run: Run, agreed: RunSpec) -> list[str]:
    """The keys that differ, of those that may have been at fault."""
    made, backlog = run.manifest, agreed.config.backlog
    before = _keys(made.classifier, run.cluster, run.retry, made.min_text_length)
    now = _keys(
        agreed.classifier, agreed.config.cluster, agreed.config.retry, backlog.min_text_length
    )
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))


def _keys(
    classifier: JsonObject, cluster: Cluster, retry: RetryPolicy, min_text_length: int
) -> dict[str, object]:
    resources = {key: value for key, value in cluster.to_json().items() if key != "resources"}
    resources |= cluster.resources.to_json()  # which a configuration has beside the others
    sections: dict[str, Mapping[str, object]] = {
        "classifier": classifier,
        "cluster": resources,
        "retry": retry.to_json(),
        "backlog": {"min_text_length": min_text_length},
    }
    return {
        f"{name}.{key}": value for name, keys in sections.items() for key, value in keys.items()
    }


def _fruitless(runs: list[Run], *, lock_is_ours: bool = False) -> list[_Fruitless]:
    """None of them, where one did not come to nothing."""
    judged = []
    for run in runs:
        one = _judged(run, lock_is_ours=lock_is_ours)
        if one is None:
            return []
        judged.append(one)
    return judged


def _judged(run: Run, *, lock_is_ours: bool) -> _Fruitless | None:
    """None, unless no post was answered and nothing more goes on without a person."""
    sent = submissions.read_submissions(run)
    if not sent or not all(one.released_at for one in sent) or any(_answers(run.folder)):
        return None
    executor = executor_of(run)
    now = look(run, executor, lock_is_ours=lock_is_ours)
    if not now.observation.answered or any(one.state is State.UNKNOWN for one in now.judgements):
        return None
    refused = find_rejection(now.observation) is not None
    if not refused and not all(_needs_a_person(one) for one in now.judgements):
        return None
    try:
        has_live_jobs = executor.has_live_jobs(run)
    except ExecutorError:
        return None
    if has_live_jobs or any(one.state in (State.RUNNING, State.QUEUED) for one in now.judgements):
        return _Fruitless(run=run, seconds=None)
    ends = [one.last_change for shard in now.observation.shards for one in shard.attempts]
    grace = timedelta(seconds=run.cluster.grace_seconds)
    wait = max(grace - (now.observation.at - max(ends)), timedelta())
    return _Fruitless(run=run, seconds=math.ceil(wait.total_seconds()))


def _needs_a_person(one: Judgement) -> bool:
    return one.state is State.BLOCKED and one.rule == 8


def _answers(folder: Path) -> Iterator[bool]:
    """Of every file that may hold a post's answer, whether it holds one that was asked for."""
    for name in ("outputs", "raw"):
        yield from (True for _ in (folder / name).glob("*"))
    for part in (folder / "work").rglob("*.parquet"):
        try:
            reasons = pq.read_table(part, columns=["reason"], partitioning=None)["reason"]
        except (OSError, pa.ArrowInvalid):
            yield True  # who knows
        else:
            yield not pc.all(pc.fill_null(pc.equal(reasons, TOO_SHORT), False)).as_py()
