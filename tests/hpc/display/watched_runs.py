"""Runs as a watcher sees them, for screens and lines: many tasks, old news, faults, a quota."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import structs

from hpc.run import run_folder
from hpc.run.model.arrays import ResourceRequest
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from hpc.run.run_state import RunStatus
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.output import OutputCheck
from tests.pipeline import run_builders

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
POSTS = 250


def make_run(folder: Path, shards: int, **classifier: object) -> Run:
    """Return a run with shards of one post each, which count as POSTS in `status_of`."""
    path, _ = run_builders.make_run(folder, run_builders.posts(shards), shards=shards)
    run = run_folder.load(path)
    manifest = structs.replace(
        run.manifest,
        shards=tuple(structs.replace(shard, posts=POSTS) for shard in run.manifest.shards),
        classifier=run.manifest.classifier | classifier,
    )
    return replace(run, manifest=manifest)


def heartbeat(
    rows: int = 100, *, age_s: float = 5, rate: float = 60.0, **more: object
) -> Heartbeat:
    """Return what a task said so many seconds ago."""
    written = NOW - timedelta(seconds=age_s)
    beat = Heartbeat(
        written_at=written, progress_at=written, rows=rows, posts=POSTS, rate_per_minute=rate,
        last_error="", node="qnode7", memory_mb=96.0,
    )  # fmt: skip
    return structs.replace(beat, **more)


def running(
    index: int, beat: Heartbeat | None, *, stalled: bool = False, mem_gb: float | None = None
) -> tuple[ShardFacts, Judgement]:
    """Return a shard whose task started ten minutes ago."""
    started = NOW - timedelta(minutes=10)
    attempt = Attempt(
        number=1, array_job_id=4001, array_task_index=index, submitted_at=started,
        request=ResourceRequest(mem_gb=mem_gb),
        record=TaskRecord(
            phase=Phase.ACTIVE, slurm_state="RUNNING", started_at=started, node=f"qnode{index}"
        ),
    )  # fmt: skip
    facts = ShardFacts(
        index=index, posts=POSTS, output=OutputCheck(), attempts=(attempt,), heartbeat=beat
    )
    judged = Judgement(
        index=index, state=State.RUNNING, rule=4, stalled=stalled, message="task is RUNNING"
    )
    return facts, judged


def resting(index: int, state: State, message: str = "") -> tuple[ShardFacts, Judgement]:
    """Return a shard that no task works on."""
    output = OutputCheck(publication="p") if state is State.DONE else OutputCheck()
    facts = ShardFacts(index=index, posts=POSTS, output=output)
    return facts, Judgement(index=index, state=state, rule=1, message=message)


def status_of(
    run: Run, shards: Sequence[tuple[ShardFacts, Judgement]], trouble: str | None = None
) -> RunStatus:
    """Return a run as it was seen at NOW."""
    return RunStatus(
        run=run,
        observation=Observation(
            observed_at=NOW,
            shards=tuple(facts for facts, _ in shards),
            answered=trouble is None,
            last_answer=NOW,
            trouble=trouble,
        ),
        judgements=tuple(judged for _, judged in shards),
    )
