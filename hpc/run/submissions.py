"""The records of a run's submissions, one file an sbatch: `submissions/0002.json`."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hpc.run.array_indices import format_indices, parse_indices
from hpc.run.array_plan import next_number
from hpc.run.model import ArrayPlan, ResourceRequest, Run, Submission
from pipeline import files
from pipeline.errors import InputError
from pipeline.model import JsonObject, WorkOrder
from pipeline.run_files import manifest


def read_submissions(run: Run) -> tuple[Submission, ...]:
    """In the order of their numbers. Raises InputError for a damaged record."""
    paths = (run.folder / "submissions").glob("[0-9]*.json")
    return tuple(sorted(map(_read, paths), key=lambda one: one.number))


def write_submission(run: Run, submission: Submission) -> Submission:
    """Writes a submission's record; returns it."""
    folder = run.folder / "submissions"
    folder.mkdir(exist_ok=True)
    files.write_json(folder / f"{submission.number:04d}.json", _document(submission))
    return submission


def withdraw_submission(run: Run, submission: Submission) -> None:
    """Forgets a submission of which no task can have run."""
    (run.folder / "submissions" / f"{submission.number:04d}.json").unlink()
    shutil.rmtree(manifest.log_path(run.folder, submission.number), ignore_errors=True)


def plan_intents(
    run: Run,
    plans: Sequence[ArrayPlan],
    now: datetime,
    *,
    recorded: Iterable[Submission] = (),
    crashed: Mapping[int, tuple[int, ...]] | None = None,
    forced: bool = False,
) -> list[Submission]:
    """Return submissions as they are before anything is submitted.

    Args:
        run: the run to submit.
        plans: one array each.
        now: the time of the intent (UTC).
        recorded: every submission that the run has, for the number of the next one.
        crashed: the attempts that ended as crashed, by shard.
        forced: whether a person has looked at the run and resumes it by force.
    """
    return [
        Submission(
            number=number,
            job_name=f"{job_prefix(run)}{number:04d}",
            plan=plan,
            intended_at=now,
            crashed={
                index: attempts
                for index in plan.indices
                if (attempts := (crashed or {}).get(plan.offset + index))
            },
            forced=forced,
        )
        for number, plan in enumerate(plans, start=next_number(recorded))
    ]


def job_prefix(run: Run) -> str:
    """What the names of a run's jobs begin with, and those of no other run."""
    return f"hpc-{run.run_id}-"


def work_order(submission: Submission, index: int, run_dir: Path) -> WorkOrder:
    """Return what the task of one array index is told."""
    return WorkOrder(
        run_dir=str(run_dir),
        shard_index=submission.plan.offset + index,
        array_task_index=index,
        attempt=submission.number,
        parallel_tasks=submission.plan.parallel_tasks,
        crashed=",".join(map(str, submission.crashed.get(index, ()))),
    )


def _document(submission: Submission) -> JsonObject:
    plan, released = submission.plan, submission.released_at
    return {
        "number": submission.number,
        "job_name": submission.job_name,
        "array_job_id": submission.array_job_id,
        "intended_at": submission.intended_at.isoformat(),
        "released_at": released.isoformat() if released else None,
        "why": plan.why,
        "offset": plan.offset,
        "array": format_indices(plan.indices),
        "throttle": plan.throttle,
        "parallel_tasks": plan.parallel_tasks,
        "after": plan.after,
        "after_jobs": list(plan.after_jobs),
        "mem_gb": plan.request.mem_gb,
        "time_min": plan.request.time_min,
        "exclude": list(plan.request.exclude),
        "delay_s": plan.delay_s,
        "crashed": {str(index): list(numbers) for index, numbers in submission.crashed.items()},
        "forced": submission.forced,
        "restarted": list(submission.restarted),
    }


def _read(path: Path) -> Submission:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        submission = Submission(
            number=values["number"],
            job_name=values["job_name"],
            plan=_plan(values),
            intended_at=datetime.fromisoformat(values["intended_at"]),
            array_job_id=values["array_job_id"],
            crashed={int(index): tuple(n) for index, n in values["crashed"].items()},
            forced=values["forced"],
            restarted=tuple(values["restarted"]),
        )
        released = values["released_at"]
        if released is None:
            return submission
        return replace(submission, released_at=datetime.fromisoformat(released))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error!r}") from None


def _plan(values: dict[str, Any]) -> ArrayPlan:
    return ArrayPlan(
        offset=values["offset"],
        indices=parse_indices(values["array"]),
        throttle=values["throttle"],
        parallel_tasks=values["parallel_tasks"],
        after=values["after"],
        after_jobs=tuple(values["after_jobs"]),
        request=ResourceRequest(
            mem_gb=values["mem_gb"],
            time_min=values["time_min"],
            exclude=tuple(values["exclude"]),
        ),
        delay_s=values["delay_s"],
        why=values["why"],
    )
