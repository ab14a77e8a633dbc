"""Turn a run, its shards and its attempts into rows of the database. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hpc.run.causes import why_ended
from hpc.run.model.attempts import Attempt, Phase
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from hpc.run.run_state import run_state
from pipeline.database.history import GatheredShard
from pipeline.errors import Cause

Row = dict[str, Any]


def run_row(run: Run, judgements: Sequence[Judgement]) -> Row:
    """Return a run's row of table `runs`. Times are UTC."""
    manifest = run.manifest
    return {
        "run_id": manifest.run_id,
        "name": manifest.name,
        "created_at": manifest.created,
        "run_dir": str(run.folder),
        "posts": manifest.posts,
        "shards": len(manifest.shards),
        "state": str(run_state(judgements)),
        "config_hash": manifest.config_hash,
        "version": manifest.version,
        "only_labelled_by": manifest.only_labelled_by or None,
        "replaces": manifest.replaces or None,
        "sample": manifest.sample,
    }


def shard_row(run: Run, index: int, gathered: GatheredShard | None) -> Row:
    """Return a shard's row of table `shards`, as of a shard that is done.

    The caller replaces state, cause and attempts if it knows more.

    Args:
        run: the shard's run.
        index: the shard's index.
        gathered: what was gathered; None if nothing was.
    """
    shard = run.manifest.shards[index]
    proof = gathered.proof if gathered else None
    return {
        "run_id": run.run_id,
        "shard_index": index,
        "posts": shard.posts,
        "min_preprocessing_timestamp": datetime.fromisoformat(shard.min_preprocessing_timestamp),
        "max_preprocessing_timestamp": datetime.fromisoformat(shard.max_preprocessing_timestamp),
        "state": str(State.DONE),
        "cause": None,
        "attempts": 0,
        "gathered_at": gathered.gathered_at if gathered else None,
        "publication": gathered.publication if gathered else None,
        "output_sha256": proof.sha256 if proof else None,
        "rows_hash": proof.rows_hash if proof else None,
    }


def attempt_rows(run: Run, observation: Observation) -> list[Row]:
    """Return the rows of table `attempts` for every attempt of a run."""
    rows = []
    for shard in observation.shards:
        for attempt in shard.attempts:
            row = _attempt_row(attempt, _cause(shard, attempt))
            rows.append({**row, "run_id": run.run_id, "shard_index": shard.index})
    return rows


def _cause(shard: ShardFacts, attempt: Attempt) -> Cause | None:
    """Return why an attempt ended without an output; None if it has one, or nobody knows."""
    is_known = attempt.phase is Phase.ENDED and not attempt.unread_words
    if not is_known or shard.has_published(attempt):
        return None
    cause = why_ended(attempt)[0]
    is_last = attempt is shard.attempts[-1]
    # It found the output of an earlier attempt, and had nothing to do.
    return None if cause is Cause.NO_OUTPUT and is_last and shard.output.verified else cause


def _attempt_row(attempt: Attempt, cause: Cause | None) -> Row:
    record = attempt.record
    return {
        "attempt": attempt.number,
        "array_job_id": attempt.array_job_id,
        "array_task_index": attempt.array_task_index,
        "slurm_state": record.slurm_state if record else None,
        "cause": str(cause) if cause else None,
        "exit_code": record.exit_code if record else None,
        "elapsed_s": record.elapsed_s if record else None,
        "max_rss_mb": record.max_rss_mb if record else None,
        "mem_gb": attempt.request.mem_gb,
        "time_min": attempt.request.time_min,
        "node": record.node if record else None,
        "submitted_at": attempt.submitted_at,
        "started_at": record.started_at if record else None,
        "ended_at": record.ended_at if record else None,
    }
