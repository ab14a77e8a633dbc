"""submitit's Slurm executor, taught three things it cannot do: an array of chosen indices, an array
of one, and to wait until its orders lie beside it.

submitit writes `--array=0-(n-1)`, names the tasks' orders by position, and moves them to their
place only after sbatch has returned: a submitter that dies in between loses the array, and a task
that starts at once waits 60 s for its order. Relies on private names of submitit 1.5.4.
"""

from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import DelayedSubmission, JobPaths

from hpc.arrays import compress
from hpc.cluster import Resources
from hpc.model import Submission
from hpc.slurm import Slurm
from pipeline import files
from pipeline.model import WorkOrder
from pipeline.worker import run_task

# Not --hold: Slurm takes on hold what it could never start, and refuses nothing of it.
NOT_BEFORE_RELEASE = "now+365days"
MAX_TIMEOUTS = 0  # submitit never requeues a task of ours: what is tried again is our plan's choice


class WaitingArrayExecutor(submitit.SlurmExecutor):
    """One array, submitted to wait for its release. `folder` is where submitit keeps its files and
    logs."""

    def __init__(self, folder: Path, resources: Resources, *, requeues: int = 0) -> None:
        super().__init__(folder, max_num_timeout=MAX_TIMEOUTS, python=resources.python)
        self._resources = resources

    @classmethod
    def affinity(cls) -> int:
        """We never choose by it: the configuration names the executor."""
        return 1

    def submit_waiting(self, slurm: Slurm, submission: Submission, after: tuple[int, ...]) -> int:
        """sbatch; the array's job id. Raises SlurmError, with sbatch's own words.

        Args:
            after: job ids that must have ended, however, before the first task starts.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.update_parameters(**_parameters(self._resources, submission, after))
        self.parameters["map_count"] = len(submission.plan.indices)
        script = self.folder / "sbatch.sh"
        text = self._make_submission_file_text(self._submitit_command_str, submission.job_name)
        files.write_text(script, text)
        return slurm.submit(script)

    def write_orders(self, submission: Submission, run_dir: Path) -> None:
        """Each task's order where submitit looks for it. May be done again."""
        timeout_min = self._resources.time_min
        for index in submission.plan.indices:
            order = DelayedSubmission(run_task, work_order(submission, index, run_dir))
            order.set_timeout(timeout_min, MAX_TIMEOUTS)
            paths = JobPaths(self.folder, job_id=f"{submission.array_job_id}_{index}")
            # Whole, since a released task may be reading; not fsynced one by one: 10,000 of them
            # would take minutes, and nothing starts before all are there.
            temporary = paths.submitted_pickle.with_name(f".tmp-{paths.submitted_pickle.name}")
            order.dump(temporary)
            temporary.replace(paths.submitted_pickle)


def work_order(submission: Submission, index: int, run_dir: Path) -> WorkOrder:
    return WorkOrder(
        run_dir=str(run_dir),
        shard_index=submission.plan.offset + index,
        array_task_index=index,
        attempt=submission.number,
        parallel_tasks=submission.plan.parallel_tasks,
    )


def _parameters(
    resources: Resources, submission: Submission, after: tuple[int, ...]
) -> dict[str, Any]:
    plan = submission.plan
    given: dict[str, Any] = {
        "job_name": submission.job_name,
        "partition": resources.partition,
        "account": resources.account,
        "time": resources.time_min,
        "mem": _memory(resources.mem_gb),
        "cpus_per_task": resources.cpus,
        "gres": resources.gres,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "exclude": resources.exclude,
        "dependency": "afterany:" + ":".join(map(str, after)) if after else None,
        "setup": list(resources.setup) or None,
        "stderr_to_stdout": True,
        # Since Slurm 22.05 a step no longer inherits the job's --cpus-per-task.
        "srun_args": [f"--cpus-per-task={resources.cpus}"],
        "additional_parameters": {
            **resources.extra,
            "array": f"{compress(plan.indices)}%{plan.throttle}",
            "begin": NOT_BEFORE_RELEASE,
        },
    }
    # No wckey: submitit's default is refused where AccountingStorageEnforce has wckeys.
    return {**{key: value for key, value in given.items() if value is not None}, "wckey": None}


def _memory(gigabytes: float | None) -> str | None:
    return None if gigabytes is None else f"{round(gigabytes * 1024)}M"
