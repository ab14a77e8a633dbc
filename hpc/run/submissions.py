"""Read and write the records of a run's submissions, one file each: `submissions/0002.json`.

The number is also in the names of the logs and of the files that the tasks write. So a lost record
leaves traces, and its number is not used again.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from hpc.naming.job_names import earlier_prefix, new_prefix, parse_job_name
from hpc.run import run_folder
from hpc.run.array_indices import format_indices, parse_indices
from hpc.run.check_submission import check_submission
from hpc.run.model.arrays import ArrayPlan, ResourceRequest, Submission
from hpc.run.model.run import Run
from pipeline import files, limits
from pipeline.archive import archive_path, size_of
from pipeline.config.check import Problems, check_record
from pipeline.config.keys import fields_to_json, keys_of
from pipeline.errors import BusyError, DamagedError, InputError, UnreadableError
from pipeline.model import WorkOrder
from pipeline.run_files import array_orders, manifest
from pipeline.run_files.json_record import parse_values
from pipeline.terminal import read_tail
from pipeline.text import did_you_mean

_RECORD = re.compile(r"\d{4,}\.json")
# In the folder of the logs, the number in such a name is a shard's.
_PACKED = re.compile(r"(?:\.tmp-[0-9a-f]+-)?\d+\.log|packed\.jsonl")
FOLDER = "submissions"
_ADVICE = (
    "\n  restore the record from a backup. Without a backup, move it away: before the next "
    "submission, Slurm is asked whether its array is alive"
)


def read_submissions(run: Run) -> tuple[Submission, ...]:
    """Return every recorded submission of a run, in the order of their numbers.

    Raises:
        UnreadableError: a record, or their folder, cannot be read now. It must not seem missing:
            its shards would be submitted again.
        InputError: a record is damaged, or belongs to another run.
    """
    folder = run.folder / FOLDER
    found = (
        _read(folder / name, run) for name in files.names_in(folder) if _RECORD.fullmatch(name)
    )
    recorded = sorted((each for each in found if each), key=lambda each: each.number)
    # An array that the original run has not released is not a copy's to finish or to cancel.
    return tuple(each for each in recorded if each.released_at or belongs_to(run, each))


def belongs_to(run: Run, submission: Submission) -> bool:
    """Tell whether a submission is the run's own. A copy has records of its original's too."""
    return run.original is None or submission.job_name.startswith(job_prefixes(run))


def find_traces(run: Run) -> Mapping[int, list[Path]]:
    """Return what submissions left in the run's folder, by their numbers.

    That is records, damaged and renamed ones too, log folders, and files of tasks. Corrections
    name the submission before them, and count without a file.

    Raises:
        UnreadableError: a folder cannot be listed now.
    """
    traces: dict[int, list[Path]] = {each.after_attempt: [] for each in run.amendments}
    work = run.folder / "work"
    for folder in (
        run.folder / FOLDER,
        run.folder / "logs",
        *(work / n for n in files.names_in(work)),
    ):
        for name in files.names_in(folder):
            if _PACKED.fullmatch(name) and folder.name == "logs":
                continue
            if number := re.match(r"(?:\.tmp-[0-9a-f]+-)?(\d{4,})", name):
                traces.setdefault(int(number[1]), []).append(folder / name)
    return traces


def was_submitted(run: Run) -> bool:
    """Tell whether anything in the run's folder shows that its tasks may have run.

    Raises:
        UnreadableError: a folder cannot be listed now.
    """
    packed = filter(_PACKED.fullmatch, files.names_in(run.folder / "logs"))
    return bool(find_traces(run)) or any(packed) or bool(files.names_in(run.folder / "outputs"))


def describe_lost_records(run: Run) -> list[str]:
    """Return a sentence for each submission that has logs but no record.

    Its shards look planned, or as the previous attempt left them.
    """
    recorded = set(files.names_in(run.folder / FOLDER))
    numbers = sorted(int(name) for name in files.names_in(run.folder / "logs") if name.isdigit())
    return [
        f"{record_path(run, number)} is missing, although it has logs. Restore it from a backup. "
        "Without it, nothing is submitted while its array is alive, and its attempt does not count"
        for number in numbers
        if record_path(run, number).name not in recorded
    ]


def write_submission(run: Run, submission: Submission) -> Submission:
    """Write a submission's record, and return the submission."""
    path = record_path(run, submission.number)
    path.parent.mkdir(exist_ok=True)
    files.write_json(path, _document(submission))
    return submission


def write_intent(run: Run, intent: Submission) -> Submission:
    """Write the first record of a submission, and return the submission.

    Raises:
        BusyError: another process has taken the number meanwhile. The lock should have prevented
            that, but some file systems do not lock between machines.
    """
    path = record_path(run, intent.number)
    path.parent.mkdir(exist_ok=True)
    try:
        files.write_new_json(path, _document(intent))
    except FileExistsError:
        raise BusyError(
            f"another process is submitting run {run.run_id} and has written {path}: run hpc "
            "status, then run the same command again"
        ) from None
    return intent


def withdraw_submission(run: Run, submission: Submission) -> None:
    """Delete the record and the logs of a submission whose tasks cannot have run.

    The logs are renamed first: logs without a record mean that a record was lost.
    """
    logs = manifest.log_path(run.folder, submission.number)
    withdrawn = logs.with_name(f".withdrawn-{logs.name}")
    with contextlib.suppress(FileNotFoundError):
        logs.rename(withdrawn)
    record_path(run, submission.number).unlink()
    shutil.rmtree(withdrawn, ignore_errors=True)


def record_path(run: Run, number: int) -> Path:
    """Return the file of a submission's record."""
    return run.folder / FOLDER / f"{number:04d}.json"


def plan_intents(
    run: Run,
    plans: Sequence[ArrayPlan],
    now: datetime,
    *,
    first_number: int = 1,
    crashed: Mapping[int, tuple[int, ...]] | None = None,
    forced: bool = False,
) -> list[Submission]:
    """Return submissions as they are before anything is submitted.

    Args:
        run: the run to submit.
        plans: one array each.
        now: the time of the intent (UTC).
        first_number: the number of the first of them.
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
            submitter=os.getuid(),
        )
        for number, plan in enumerate(plans, start=first_number)
    ]


def job_prefix(run: Run) -> str:
    """Return what the names of this run's new jobs begin with, and those of no other run.

    Once the run is elsewhere than where it was created, it may be one of several copies. Each of
    them has names that no other one looks for.
    """
    return new_prefix(run.run_id, _place(run))


def job_prefixes(run: Run) -> tuple[str, str]:
    """Return what the names of this run's jobs begin with: new ones, and those of versions before.

    An update of the program finds, finishes and cancels what an earlier version submitted.
    """
    return job_prefix(run), earlier_prefix(run.run_id, _place(run))


def _place(run: Run) -> str:
    """Return six hex digits for the folder of a run that has moved; empty for one that has not."""
    if not run_folder.has_moved(run):
        return ""
    return hashlib.sha256(os.fsencode(run.folder.resolve())).hexdigest()[:6]


def has_returned(
    submission: Submission, index: int, log_files: Collection[str], log: Path | None
) -> bool:
    """Tell whether the worker of a task that COMPLETED had begun.

    A task that is done keeps nothing in its work folder, so if its output is gone, only the last
    line of its log shows it. A log that was deleted, or cannot be read now, proves nothing.

    Args:
        submission: the task's submission.
        index: the task's array index.
        log_files: the names of all files in the attempt's log folder.
        log: the task's log; None if its job is unknown.
    """
    task = f"{submission.array_job_id}_{index}"
    if f"{task}_submitted.pkl" in log_files:
        # An order of an earlier version: submitit wrote a result file when the worker returned.
        return f"{task}_0_result.pkl" in log_files
    if submission.array_job_id is None or log is None or log.name not in log_files:
        return True
    text = read_tail(log)
    return text is None or array_orders.END_LINE in text.splitlines()


def find_job_of_logs(run: Run, submission: Submission) -> int | None:
    """Return the job id in the names of the files that an array's tasks have in its log folder.

    Only an array whose record has its job id gets such files. If the record has none, it is older
    than the files.
    """
    names = files.names_in(manifest.log_path(run.folder, submission.number))
    found = (re.match(r"(\d+)_\d+_", name) for name in names)
    return max((int(match[1]) for match in found if match), default=None)


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
    # Earlier versions know neither key.
    if not submission.plan.upstream:
        del document["upstream"]
    if not submission.started_early:
        del document["started_early"]
    return document | {"array": format_indices(submission.plan.indices)}


def _read(path: Path, run: Run) -> Submission | None:
    """Return the submission of a record; None if it was withdrawn at this moment."""
    try:
        if size_of(path) > limits.RECORD_BYTES:
            raise DamagedError(path, "it is larger than any record")
        content = bytes(files.read_whole(path))
        uid = _owner(path)
    except FileNotFoundError as error:
        if path.name in files.names_in(path.parent):
            raise UnreadableError(path, error) from error
        return None
    except OSError as error:
        raise UnreadableError(path, error) from error
    except DamagedError as error:
        raise InputError(f"{error}{_ADVICE}") from None
    try:
        # A record of an earlier version does not say who submitted, and has no jobs to wait for.
        submission = _parse(content, path, uid)
        # Its array would be shown as this run's, and canceled with it.
        other = parse_job_name(submission.job_name)
        if other and other.run_id != run.run_id:
            raise InputError(f"{path} is a record of another run, {other.run_id}")
        problems = Problems()
        shards = len(run.manifest.shards)
        check_submission(submission, shards, source=str(path), problems=problems)
        problems.raise_any()
    except InputError as error:
        raise InputError(f"{error}{_ADVICE}") from None
    return submission


def _owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except FileNotFoundError:  # the run is archived
        return archive_path(path.parent.parent).stat().st_uid


def _parse(content: bytes, path: Path, uid: int) -> Submission:
    read = parse_values(content, dict[str, object], source=str(path))
    values = {"submitter": uid, "upstream": [], "started_early": [], **read}
    try:
        if isinstance(values.get("array"), str):
            values["indices"] = parse_indices(str(values.pop("array")))
    except ValueError as error:
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
    if path.stem != f"{submission.number:04d}":
        raise InputError(f"{path} is damaged: it is the record of submission {submission.number}")
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
