"""Runs, shards and attempts as rows of the database. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hpc.run.judge import why_ended
from hpc.run.model import Attempt, Judgement, Observation, Phase, Run, State
from hpc.run.run_state import run_state
from pipeline.errors import Cause

Row = dict[str, Any]


def run_row(run: Run, judged: Sequence[Judgement]) -> Row:
    manifest = run.manifest
    return {
        "run_id": manifest.run_id,
        "name": manifest.name,
        "created_at": datetime.fromisoformat(manifest.created_at),
        "run_dir": str(run.folder),
        "posts": manifest.posts,
        "shards": len(manifest.shards),
        "state": str(run_state(judged)),
        "config_hash": manifest.config_hash,
        "version": manifest.version,
        "only_labelled_by": manifest.only_labelled_by or None,
    }


def shard_row(run: Run, index: int, publication: str | None, gathered_at: datetime | None) -> Row:
    """A shard whose output was gathered, unless the caller knows better."""
    shard = run.manifest.shards[index]
    return {
        "run_id": run.run_id,
        "shard_index": index,
        "posts": shard.posts,
        "min_preprocessing_timestamp": datetime.fromisoformat(shard.min_preprocessing_timestamp),
        "max_preprocessing_timestamp": datetime.fromisoformat(shard.max_preprocessing_timestamp),
        "state": str(State.DONE),
        "cause": None,
        "attempts": 0,
        "gathered_at": gathered_at,
        "publication": publication,
    }


def attempt_rows(run: Run, observation: Observation) -> list[Row]:
    return [
        {
            **_attempt_row(attempt, published=shard.output.verified and attempt is last),
            "run_id": run.run_id,
            "shard_index": shard.index,
        }
        for shard in observation.shards
        for last in shard.attempts[-1:]
        for attempt in shard.attempts
    ]


def _attempt_row(attempt: Attempt, *, published: bool) -> Row:
    record = attempt.record
    cause = why_ended(attempt)[0] if attempt.phase is Phase.ENDED else None
    # "Completed" says no more than that: where the output is there, nothing is wrong with it.
    if published and cause is Cause.NO_OUTPUT:
        cause = None
    return {
        "attempt": attempt.number,
        "array_job_id": attempt.array_job_id,
        "array_task_index": attempt.array_task_index,
        "slurm_state": record.slurm_state if record else None,
        "cause": str(cause) if cause else None,
        "exit_code": record.exit_code if record else None,
        "elapsed_s": record.elapsed_s if record else None,
        "max_rss_mb": record.max_rss_mb if record else None,
        "mem_gb": attempt.ask.mem_gb,
        "time_min": attempt.ask.time_min,
        "node": record.node if record else None,
        "submitted_at": attempt.submitted_at,
        "started_at": record.started_at if record else None,
        "ended_at": record.ended_at if record else None,
    }
