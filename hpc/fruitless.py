"""Runs that came to nothing because their configuration was wrong: once it is another, the next
`submit` sets them aside, and their posts are free.

Only under a name that has no label and no other run, so that its watermark is at the beginning and
passes over nobody; and only runs whose classifier has answered for no post: nothing in them was
paid for.
"""

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hpc import drive, plan, records, rundir
from hpc.drive import Look, Say
from hpc.judge import last_change
from hpc.model import Phase, Run, State
from hpc.slurm import SlurmError
from hpc.terms import Terms
from pipeline import chronicle, ledger, store
from pipeline.errors import BusyError
from pipeline.model import TOO_SHORT, JsonObject


def set_aside(agreed: Terms, say: Say) -> None:
    """The caller holds the run root's lock.

    Raises BusyError where it is too early to tell that there is no answer: planned now, new posts
    would be a run that keeps the other from being set aside.
    """
    runs = _candidates(agreed)
    with ExitStack() as held:
        try:
            for run in runs:
                held.enter_context(rundir.lock_run(run))
        except BusyError:
            return
        seconds = _seconds_until_sure(runs, lock_is_ours=True)
        if seconds is None:
            return
        if seconds:
            raise BusyError(
                f"{_told(runs[-1], agreed)}, but its files may still be on their way: the same "
                f"submit sets it aside in {seconds} s"
            )
        database = agreed.config.storage.database
        for run in runs:
            if database.exists():  # first: what is there of a run would hold the watermark back
                with store.opened(database) as labels:
                    chronicle.forget(labels, run.run_id)
            say(
                f"{_told(run, agreed)}: set aside, with its logs, as {rundir.set_aside(run.folder)}"
            )


def found(agreed: Terms, say: Say) -> frozenset[str]:
    """The ids of the runs that a submit would set aside."""
    runs = _candidates(agreed)
    seconds = None if any(map(rundir.is_locked, runs)) else _seconds_until_sure(runs)
    if seconds is None:
        return frozenset()
    for run in runs:
        say(f"{_told(run, agreed)}: it would be set aside{f' in {seconds} s' if seconds else ''}")
    return frozenset(run.run_id for run in runs)


def _candidates(agreed: Terms) -> list[Run]:
    """All runs of the name, where each has another configuration and nothing is labelled."""
    config = agreed.config
    runs = rundir.named(config.storage.run_root, config.name)
    if not all(_changed(run, agreed) for run in runs):
        return []
    if runs and config.storage.database.exists():
        with store.opened(config.storage.database, read_only=True) as labels:
            if chronicle.newest(labels, config.name) or ledger.count(labels, config.name):
                return []
    return runs


def _told(run: Run, agreed: Terms) -> str:
    changed = ", ".join(_changed(run, agreed))
    return f"run {run.run_id} came to nothing, and had another configuration ({changed})"


def _changed(run: Run, agreed: Terms) -> list[str]:
    """The keys that differ, of those that may have been at fault."""
    made, backlog = run.manifest, agreed.config.backlog
    before = _keys(made.classifier, made.cluster, made.retry, made.min_text_length)
    now = _keys(agreed.classifier, agreed.cluster, agreed.retry, backlog.min_text_length)
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))


def _keys(
    classifier: JsonObject, cluster: JsonObject, retry: JsonObject, min_text_length: int
) -> JsonObject:
    resources = {key: value for key, value in cluster.items() if key != "resources"}
    resources |= cluster["resources"]  # which a configuration has beside the others
    sections = {"classifier": classifier, "cluster": resources, "retry": retry,
                "backlog": {"min_text_length": min_text_length}}  # fmt: skip
    as_kept = json.loads(json.dumps(sections))  # as a manifest has them: lists, no tuples
    return {f"{name}.{key}": value for name, keys in as_kept.items() for key, value in keys.items()}


def _seconds_until_sure(runs: list[Run], *, lock_is_ours: bool = False) -> int | None:
    """Until all of them have come to nothing for certain; None where one has not."""
    longest = timedelta()
    for run in runs:
        wait = _until_it_came_to_nothing(run, lock_is_ours=lock_is_ours)
        if wait is None:
            return None
        longest = max(longest, wait)
    return math.ceil(longest.total_seconds())


def _until_it_came_to_nothing(run: Run, *, lock_is_ours: bool) -> timedelta | None:
    """None, unless no post was answered, nothing is alive, and nothing goes on without a person;
    then how long files that say otherwise may still be on their way."""
    sent = records.submissions(run)
    if not sent or not all(one.released_at for one in sent) or any(_answers(run.folder)):
        return None
    slurm = drive.slurm_of(run)
    now = drive.look(run, slurm, lock_is_ours=lock_is_ours)
    if not now.observation.answered or not _stands_still(now):
        return None
    try:
        jobs = slurm.jobs(records.job_prefix(run)) if slurm else ()
    except SlurmError:
        return None
    if any(record.phase is not Phase.ENDED for _, _, record in jobs):
        return None
    ends = [last_change(one) for shard in now.observation.shards for one in shard.attempts]
    grace = timedelta(seconds=run.cluster["grace_seconds"])
    return max(grace - (now.observation.at - max(ends)), timedelta())


def _stands_still(now: Look) -> bool:
    refused = plan.refusal(now.observation) is not None
    return all(
        (one.state is State.BLOCKED and one.rule == 8)
        or (refused and one.state in (State.FAILED, State.PLANNED))
        for one in now.judged
    )


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
