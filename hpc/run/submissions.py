"""Read and write the records of a run's submissions, one file each: `submissions/0002.json`."""

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from hpc.run import run_folder
from hpc.run.array_indices import format_indices, parse_indices
from hpc.run.array_plan import next_number
from hpc.run.model import ArrayPlan, ResourceRequest, Run, Submission
from pipeline import files
from pipeline.config.check import Problems, check_record
from pipeline.config.keys import fields_to_json, keys_of
from pipeline.errors import InputError, UnreadableError
from pipeline.model import WorkOrder
from pipeline.run_files import manifest
from pipeline.run_files.json_record import parse_values, read_content
from pipeline.text import did_you_mean

_RECORD = re.compile(r"[0-9].*\.json")


def read_submissions(run: Run) -> tuple[Submission, ...]:
    """Return every recorded submission of a run, in the order of their numbers.

    Raises:
        InputError: a record is damaged.
        UnreadableError: a record, or the folder of the records, cannot be read now.
    """
    paths = _record_paths(run.folder / "submissions")
    recorded = sorted(map(_read, paths), key=lambda submission: submission.number)
    # An array that the original run has not released is not a copy's to finish or to cancel.
    return tuple(each for each in recorded if each.released_at or belongs_to(run, each))


def _record_paths(folder: Path) -> list[Path]:
    # Not glob, which takes a folder that it may not list for an empty one.
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names, to be matched
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnreadableError(folder, error) from error
    return [folder / name for name in names if _RECORD.fullmatch(name)]


def belongs_to(run: Run, submission: Submission) -> bool:
    """Tell whether a submission is the run's own. A copy has records of its original's too."""
    return run.original is None or submission.job_name.startswith(job_prefix(run))


def write_submission(run: Run, submission: Submission) -> Submission:
    """Write a submission's record, and return the submission."""
    folder = run.folder / "submissions"
    folder.mkdir(exist_ok=True)
    files.write_json(folder / f"{submission.number:04d}.json", _document(submission))
    return submission


def withdraw_submission(run: Run, submission: Submission) -> None:
    """Delete the record and the logs of a submission whose tasks cannot have run."""
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
    """Return what the names of this run's new jobs begin with, and those of no other run.

    Once the run is elsewhere than where it was created, it may be one of several copies. Each of
    them has names that no other one looks for.
    """
    if not run_folder.has_moved(run):
        return f"hpc-{run.run_id}-"
    place = hashlib.sha256(os.fsencode(run.folder.resolve())).hexdigest()[:6]
    return f"hpc-{place}-{run.run_id}-"


def returned(submission: Submission, index: int, log_files: Collection[str]) -> bool:
    """Tell whether the worker of a task that COMPLETED had begun, from the files beside its log.

    A task that is done keeps nothing in its work folder, so only these show it if its output is
    gone. submitit writes a result file when the worker returns (submitit 1.5.4, JobPaths). Without
    the task's order, the log folder was cleared, and proves nothing.
    """
    task = f"{submission.array_job_id}_{index}"
    return f"{task}_0_result.pkl" in log_files or f"{task}_submitted.pkl" not in log_files


def work_order(submission: Submission, index: int, run_dir: Path, *, amendments: int) -> WorkOrder:
    """Return the order for the task of one array index, and how many amendments it obeys."""
    return WorkOrder(
        run_dir=str(run_dir),
        shard_index=submission.plan.offset + index,
        array_task_index=index,
        attempt=submission.number,
        parallel_tasks=submission.plan.parallel_tasks,
        crashed=",".join(map(str, submission.crashed.get(index, ()))),
        amendments=amendments,
    )


def _document(submission: Submission) -> dict[str, object]:
    """Return the record: the submission, its plan and its request in one mapping of keys."""
    request = fields_to_json(submission.plan.request)
    values = fields_to_json(submission) | fields_to_json(submission.plan) | request
    nested = ("plan", "request", "indices")
    document = {name: value for name, value in values.items() if name not in nested}
    return document | {"array": format_indices(submission.plan.indices)}


def _read(path: Path) -> Submission:
    try:
        values = parse_values(read_content(path), dict[str, object], source=str(path))
        if isinstance(values.get("array"), str):
            values["indices"] = parse_indices(str(values.pop("array")))
    except OSError as error:
        raise UnreadableError(path, error) from error
    except ValueError as error:  # of the array's indices
        raise InputError(f"{path} is damaged: {error}") from None
    problems = Problems()
    _check_keys(values, str(path), problems)
    problems.raise_any()
    request = {name: values.pop(name) for name in keys_of(ResourceRequest)}
    plan = {name: values.pop(name) for name in keys_of(ArrayPlan) if name != "request"}
    nested = {**values, "plan": {**plan, "request": request}}
    found = Problems()
    submission = check_record(Submission, nested, source=str(path), problems=found)
    for problem in found.found:
        key = problem.path.removeprefix("plan.").removeprefix("request.")
        problems.add(str(path), key, problem.text)
    problems.raise_any()
    assert submission
    return submission


def _check_keys(values: Mapping[str, object], source: str, problems: Problems) -> None:
    """Report keys that are unknown or missing: nothing is taken for its default."""
    keys = {**keys_of(Submission), **keys_of(ArrayPlan), **keys_of(ResourceRequest)}
    names = [name for name in keys if name not in ("plan", "request")]
    for name in values:
        if name not in names:
            problems.add(source, name, f"unknown key{did_you_mean(name, names)}")
    for name in names:
        if name not in values:
            problems.add(source, "array" if name == "indices" else name, "is missing")
