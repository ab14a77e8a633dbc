"""Submit the caretaker of a run: a small Slurm job that supervises the run."""

import os
import shlex
from collections.abc import Sequence

from hpc.executors.base import CaretakerRole
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.setup_lines import guard_setup
from hpc.run.cluster.resources import megabytes
from hpc.run.model.run import Run
from hpc.run.submissions import job_prefix, job_prefixes
from pipeline import files
from pipeline.run_files.manifest import log_path


class SlurmCaretakerJobs:
    """Submits caretakers with sbatch and finds them by their names."""

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm

    def own_job(self) -> int | None:
        """Return the id of the job that this process is; None outside a job."""
        return int(os.environ.get("SLURM_JOB_ID", "0")) or None

    def submit(
        self,
        run: Run,
        role: CaretakerRole,
        *,
        failures: int = 0,
        after: Sequence[str] = (),
        if_fails: int | None = None,
        delay_s: int = 0,
    ) -> int:
        """Submit a job that supervises the run, and return its id.

        Raises:
            SlurmError: sbatch refused the job; the message has its own words.
        """
        dependency = None
        if after:
            dependency = "afterany:" + ":".join(after)
        elif if_fails is not None:
            dependency = f"afternotok:{if_fails}"
        logs = log_path(run.folder, 0).with_name(str(CaretakerRole.CARETAKER))
        logs.mkdir(parents=True, exist_ok=True)
        resources = run.cluster.caretaker
        options = {
            "job-name": job_prefix(run) + role,
            "output": f"{logs}/%j.log",
            "open-mode": "append",
            "partition": resources.partition,
            "account": resources.account,
            "qos": resources.qos,
            "time": resources.time_min,
            "mem": megabytes(resources.mem_gb),
            "mem-per-cpu": megabytes(resources.mem_per_cpu),
            "nodes": 1,
            "ntasks": 1,
            "cpus-per-task": 1,
            "requeue": "",
            "dependency": dependency,
            # Slurm removes an understudy whose caretaker succeeded.
            "kill-on-invalid-dep": "yes",
            "begin": f"now+{delay_s}" if delay_s else None,
        }
        lines = [
            f"#SBATCH --{name}={value}" if value != "" else f"#SBATCH --{name}"
            for name, value in options.items()
            if value is not None
        ]
        command = shlex.join(
            [
                *(resources.python, "-m", "hpc.supervise", str(run.folder)),
                *("--caretaker", str(failures)),
            ]
        )
        script = logs / f"{role}.sh"
        setup = guard_setup(resources.setup)
        text = "\n".join(["#!/bin/bash", *lines, *setup, f"exec {command}", ""])
        files.write_text(script, text)
        return self._slurm.submit(script, job_prefix(run) + role)

    def pending(self, run: Run, role: CaretakerRole) -> frozenset[int]:
        """Return the ids of the jobs with this role that have not started yet."""
        names = (prefix + role for prefix in job_prefixes(run))
        return self._slurm.jobs_named(*names, waiting=True)

    def cancel(self, job: int) -> None:
        """Cancel a job."""
        self._slurm.cancel([job])

    def requeue(self, job: int) -> None:
        """Put a running job back into the queue."""
        self._slurm.requeue(job)
