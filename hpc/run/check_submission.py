"""Check that the record of a submission fits its run, so that no reader has to. Pure."""

from hpc.run.model.arrays import Submission
from pipeline.config.check import Problems
from pipeline.config.keys import LONGEST_TIME
from pipeline.run_files.recorded_values import check_time


def check_submission(
    submission: Submission, shards: int, *, source: str, problems: Problems
) -> None:
    """Report what in a submission no submission of the run can have.

    Args:
        submission: the submission, of the right types.
        shards: how many shards the run has.
        source: the record's file.
        problems: gets what is wrong, with the record's keys.
    """
    plan = submission.plan
    lowest = {
        "number": (submission.number, 1),
        "array_job_id": (submission.array_job_id or 0, 0),
        "offset": (plan.offset, 0),
        "throttle": (plan.throttle, 1),
        "parallel_tasks": (plan.parallel_tasks, 1),
        "time_min": (plan.request.time_min, 1),
    }
    for key, (value, least) in lowest.items():
        if value < least:
            problems.add(source, key, f"should be {least} or more, not {value}")
    if not 0 <= plan.delay_s <= LONGEST_TIME:
        problems.add(source, "delay_s", f"should be from 0 to {LONGEST_TIME}, not {plan.delay_s}")
    for key, time in (
        ("intended_at", submission.intended_at),
        ("released_at", submission.released_at),
    ):
        if time and (problem := check_time(time)):
            problems.add(source, key, problem)
    outside = [shard for shard in plan.shards if not 0 <= shard < shards]
    if outside or not plan.indices or min(plan.indices) < 0:
        problems.add(
            source,
            "array",
            f"should name shards of the run, 0 to {shards - 1}"
            + (f", not {outside[0]}" if outside else ""),
        )
