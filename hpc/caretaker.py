"""A run that looks after itself: a tiny Slurm job that starts when the arrays have ended, gathers,
submits again, and leaves the next such job behind. No process stays on the login node.

Before it does anything it submits an understudy that starts only if it fails (`afternotok`), so a
caretaker may die anywhere. Whatever it was about to do, its understudy derives anew.
"""

import os
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hpc import plan, rundir
from hpc.cluster import caretaker_of
from hpc.drive import Look, Say
from hpc.model import Phase, Run
from hpc.records import job_prefix
from hpc.slurm import Slurm
from hpc.supervision import supervise
from pipeline import files
from pipeline.errors import BusyError, InputError, RunError
from pipeline.manifest import log_path

CARETAKER, UNDERSTUDY = "caretaker", "understudy"
# One after another that failed: then a person has to look.
MOST_FAILURES = 5
BUSY_PAUSE_S = 600


def hire(run: Run, slurm: Slurm, after: Sequence[int]) -> int:
    """Submits the caretaker that starts when these arrays have ended; its job id. Raises SlurmError
    with sbatch's own words."""
    dependency = "afterany:" + ":".join(map(str, after)) if after else ""
    return _submit(run, slurm, CARETAKER, dependency=dependency)


def take_care(run: Run, slurm: Slurm, failures: int, say: Say) -> None:
    """What the job does. Raises whatever kept it from doing it: the understudy follows then.

    Args:
        failures: how many caretakers failed one after another before this one.
    """
    own = int(os.environ.get("SLURM_JOB_ID", "0"))
    if not own:
        raise InputError("--caretaker is for the job that submit --caretaker submits")
    if slurm.jobs_named(job_prefix(run) + CARETAKER) - {own}:
        say("another caretaker of this run waits already: it goes on")
        return
    # Those of a former life of this very job, which Slurm put back.
    slurm.cancel(sorted(slurm.jobs_named(job_prefix(run) + UNDERSTUDY) - {own}))
    if failures >= MOST_FAILURES:
        raise RunError(f"{failures} caretakers failed one after another: see {_logs(run)}")
    understudy = _submit(
        run,
        slurm,
        UNDERSTUDY,
        dependency=f"afternotok:{own}",
        failures=failures + 1,
        delay_s=round(run.cluster["grace_seconds"]),
    )
    try:
        with rundir.lock_run(run) as lock:
            supervise(run, slurm, lock, say, hand_over=partial(_hand_over, run, slurm, say))
    except BusyError as error:
        say(f"{error}\nlooking again in {BUSY_PAUSE_S // 60} min")
        _submit(run, slurm, CARETAKER, delay_s=BUSY_PAUSE_S)
    slurm.cancel([understudy])


def _hand_over(run: Run, slurm: Slurm, say: Say, now: Look) -> bool:
    """While nothing of the run is in the queue there is nothing to wait for but time."""
    alive = plan.jobs_in(now.observation, Phase.ACTIVE, Phase.WAITING)
    if not alive:
        return False
    say(f"job {hire(run, slurm, alive)} goes on when {', '.join(map(str, alive))} have ended")
    return True


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
    given = caretaker_of(run.cluster)
    options = {
        "job-name": job_prefix(run) + role,
        "output": f"{logs}/%j.log",
        "open-mode": "append",
        "partition": given.partition,
        "account": given.account,
        "qos": given.qos,
        "time": given.time_min,
        "mem": f"{round((given.mem_gb or 1) * 1024)}M",
        "cpus-per-task": 1,
        "requeue": "",
        "dependency": dependency or None,
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
