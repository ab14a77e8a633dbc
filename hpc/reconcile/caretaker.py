"""A run that looks after itself: a tiny Slurm job that starts when the arrays have ended, gathers,
submits again, and leaves the next such job behind. No process stays on the login node.

Each caretaker is submitted together with an understudy, which starts only if it fails
(`afternotok`) and does the same. So from the first moment on there is one in the queue that nothing
has kept from starting, and whatever a caretaker was about to do when it died, the next one derives
anew.
"""

import os
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hpc.executors.slurm.client import Slurm, SlurmError
from hpc.reconcile.loop import supervise
from hpc.reconcile.run_status import look
from hpc.run import plan, run_folder
from hpc.run.model import Run, Say
from hpc.run.resources import megabytes
from hpc.run.run_state import RunStatus
from hpc.run.submissions import job_prefix, read_submissions
from pipeline import files
from pipeline.errors import BusyError, InputError
from pipeline.run_files.manifest import log_path

CARETAKER, UNDERSTUDY = "caretaker", "understudy"
# After failures one after another, the next waits so many minutes; then a person has to look.
PAUSES_MIN = (1, 5, 15, 60, 240)
BUSY_PAUSE_S = 600


def submit_caretaker(run: Run, slurm: Slurm, say: Say) -> None:
    """A caretaker for all arrays that the run has; says so, or why there is none: they go on."""
    jobs = [str(one.array_job_id) for one in read_submissions(run) if one.array_job_id is not None]
    try:
        job = _hire(run, slurm, after=jobs)
    except SlurmError as error:
        say(f"no caretaker: {error}\nthe arrays go on: python -m hpc.supervise {run.folder}")
    else:
        say(f"caretaker: job {job} gathers and submits again when they have ended")


def run_caretaker(run: Run, slurm: Slurm, failures: int, say: Say) -> RunStatus:
    """What the job does; its last look at the run. Raises whatever kept it from doing it: its
    understudy follows then.

    Args:
        failures: how many caretakers failed one after another before this one.
    """
    own = int(os.environ.get("SLURM_JOB_ID", "0"))
    if not own:
        raise InputError("--caretaker is for the job that submit --caretaker submits")
    if failures:
        # An understudy that has come on needs one of its own.
        _submit_understudy(run, slurm, own, failures)
    try:
        with run_folder.lock_run(run) as lock:
            over = partial(_hand_over, run, slurm, own, say)
            return supervise(run, slurm, lock, say, hand_over=over)
    except BusyError as error:
        if not _is_followed(run, slurm, own):
            say(f"{error}\nlooking again in {BUSY_PAUSE_S // 60} min")
            _hire(run, slurm, delay_s=BUSY_PAUSE_S)
        return look(run, slurm)


def _hire(run: Run, slurm: Slurm, *, after: Sequence[str] = (), delay_s: int = 0) -> int:
    """Submits a caretaker and its understudy; the caretaker's job id. Raises SlurmError with
    sbatch's own words; then neither is there."""
    dependency = "afterany:" + ":".join(after) if after else ""
    job = _submit(run, slurm, CARETAKER, dependency=dependency, delay_s=delay_s)
    try:
        _submit_understudy(run, slurm, job, 0)
    except SlurmError:
        slurm.cancel([job])
        raise
    return job


def _hand_over(run: Run, slurm: Slurm, own: int, say: Say, now: RunStatus) -> bool:
    """While nothing of the run is in the queue there is nothing to wait for but time."""
    alive = plan.jobs_to_wait_for(now.observation)
    if not alive:
        return False
    if _is_followed(run, slurm, own):
        say("another caretaker of this run waits already: it goes on")
    else:
        job = _hire(run, slurm, after=alive)
        say(f"job {job} goes on when {', '.join(alive)} have ended")
    return True


def _is_followed(run: Run, slurm: Slurm, own: int) -> bool:
    """Whether a caretaker waits that will look after this one. One that runs may be about to leave
    for the same reason, and is no successor."""
    return bool(slurm.jobs_named(job_prefix(run) + CARETAKER, waiting=True) - {own})


def _submit_understudy(run: Run, slurm: Slurm, job: int, failures: int) -> None:
    if failures < len(PAUSES_MIN):
        _submit(
            run,
            slurm,
            UNDERSTUDY,
            dependency=f"afternotok:{job}",
            failures=failures + 1,
            delay_s=PAUSES_MIN[failures] * 60,
        )


def _submit(
    run: Run,
    slurm: Slurm,
    role: str,
    *,
    dependency: str = "",
    failures: int = 0,
    delay_s: int = 0,
) -> int:
    logs = _logs(run)
    logs.mkdir(parents=True, exist_ok=True)
    given = run.cluster.caretaker
    options = {
        "job-name": job_prefix(run) + role,
        "output": f"{logs}/%j.log",
        "open-mode": "append",
        "partition": given.partition,
        "account": given.account,
        "qos": given.qos,
        "time": given.time_min,
        "mem": megabytes(given.mem_gb),
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": 1,
        "requeue": "",
        "dependency": dependency or None,
        # An understudy whose caretaker did its work goes away by itself.
        "kill-on-invalid-dep": "yes",
        "begin": f"now+{delay_s}" if delay_s else None,
    }
    lines = [
        f"#SBATCH --{name}={value}" if value != "" else f"#SBATCH --{name}"
        for name, value in options.items()
        if value is not None
    ]
    command = shlex.join(
        [given.python, "-m", "hpc.supervise", str(run.folder), "--caretaker", str(failures)]
    )
    text = "\n".join(["#!/bin/bash", *lines, *given.setup, f"exec {command}", ""])
    script = logs / f"{role}.sh"
    files.write_text(script, text)
    return slurm.submit(script)


def _logs(run: Run) -> Path:
    return log_path(run.folder, 0).with_name("caretaker")
