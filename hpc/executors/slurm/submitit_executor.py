"""Extend submitit's Slurm executor by arrays of chosen indices that wait for their release.

submitit writes `--array=0-(n-1)`, submits a single item as no array at all, and gives each task a
pickle, which is code for whoever can write to the folder. Here it only writes the batch script,
which runs an entry point of our own. This module relies on private names of submitit 1.5.4.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import submitit

from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.setup_lines import guard_setup
from hpc.run.array_indices import format_indices
from hpc.run.cluster.resources import Resources, SbatchValue, megabytes
from hpc.run.model.arrays import Submission
from pipeline import files
from pipeline.run_files import array_orders, last_words
from pipeline.run_files.array_orders import ArrayOrders

# The module that runs a task. It is named, not imported: a login node needs nothing of it.
ENTRY_POINT = "pipeline.worker.slurm_task"

# Not --hold: Slurm accepts jobs on hold that it could never start, and says nothing about it.
NOT_BEFORE_RELEASE = "now+365days"
# --signal comes this long before the time limit, or up to a minute earlier (sbatch(1)). An orderly
# end takes half a minute: answers in flight, and a checkpoint part. A short limit should not be
# spent on it.
LONGEST_WARNING_S, SHORTEST_WARNING_S = 90, 30
WARNING_SHARE = 0.15


class WaitingArrayExecutor(submitit.SlurmExecutor):
    """Submits one array, which waits for its release."""

    def __init__(self, folder: Path, resources: Resources, *, requeues: int = 0) -> None:
        """Prepare the submission.

        Args:
            folder: the attempt's log folder, for the batch script, the orders and the logs.
            resources: what each task requests.
            requeues: how often a task near its time limit may put itself back into the queue,
                under the same job id and as the same attempt; 0 leaves that to our plan.
        """
        super().__init__(folder, python=resources.python)
        self._resources = resources
        self._requeues = requeues

    @property
    def _submitit_command_str(self) -> str:
        """Return the command of each task, in place of submitit's, which unpickles a file."""
        return f"{self.python} -u -m {ENTRY_POINT} {shlex.quote(str(self.folder))}"

    @classmethod
    def affinity(cls) -> int:
        """Return a value that nothing uses: the configuration names the executor."""
        return 1

    def submit_waiting(self, slurm: Slurm, submission: Submission, after: str | None) -> int:
        """Submit the array on hold, and return its job id.

        Args:
            slurm: the cluster.
            submission: what to submit.
            after: what must have happened before the first task starts, as `dependency` returns it.

        Raises:
            SlurmError: with sbatch's own words.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        script = self.folder / "sbatch.sh"
        files.write_text(script, self.render_script(submission, after))
        return slurm.submit(script, submission.job_name)

    def render_script(self, submission: Submission, after: str | None) -> str:
        """Return the batch script of the array; the arguments are those of `submit_waiting`."""
        self.update_parameters(**_parameters(self.folder, self._resources, submission, after))
        self.parameters["map_count"] = len(submission.plan.indices)
        return self._make_submission_file_text(self._submitit_command_str, submission.job_name)

    def write_orders(self, submission: Submission, *, amendments: int) -> None:
        """Write the tasks' orders where they look for them. Safe to repeat."""
        plan = submission.plan
        orders = ArrayOrders(
            offset=plan.offset,
            indices=plan.indices,
            parallel_tasks=plan.parallel_tasks,
            amendments=amendments,
            requeues=self._requeues,
            crashed=submission.crashed,
        )
        array_orders.write(self.folder, orders)


def _parameters(
    folder: Path, resources: Resources, submission: Submission, after: str | None
) -> dict[str, Any]:
    plan = submission.plan
    parameters: dict[str, Any] = {
        "job_name": submission.job_name,
        "partition": resources.partition,
        "account": resources.account,
        "time": resources.time_min,
        "mem": megabytes(resources.mem_gb),
        "mem_per_cpu": megabytes(resources.mem_per_cpu),
        "cpus_per_task": resources.cpus,
        "gres": resources.gres,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "exclude": resources.exclude,
        "dependency": after,
        "setup": [_forget_last_words(folder, plan.offset), *guard_setup(resources.setup)],
        "signal_delay_s": _warning_s(resources.time_min),
        "stderr_to_stdout": True,
        # One process per shard. Without --ntasks, srun starts as many copies as fit into the CPUs
        # that Slurm allocated, and Slurm allocates more than were asked for where it hands out
        # whole cores or nodes, or where --mem exceeds MaxMemPerCPU (datatrove#296,
        # submitit#1727). Since Slurm 22.05 a step no longer inherits the job's --cpus-per-task.
        "srun_args": ["--nodes=1", "--ntasks=1", f"--cpus-per-task={resources.cpus}"],
        "additional_parameters": {
            **_options(resources.extra),
            "nodes": 1,
            "ntasks": 1,
            "array": f"{format_indices(plan.indices)}%{plan.throttle}",
            "begin": NOT_BEFORE_RELEASE,
        },
    }
    # No wckey: sites whose AccountingStorageEnforce includes wckeys reject submitit's default.
    configured = {key: value for key, value in parameters.items() if value is not None}
    return {**configured, "wckey": None}


def _options(extra: Mapping[str, SbatchValue]) -> dict[str, SbatchValue]:
    """Return the options to add. submitit would write null and false as `--name=None`."""
    return {
        name: value
        for name, value in extra.items()
        if value is not None and value is not False  # 0 is a value
    }


def _warning_s(time_min: int) -> int:
    share = round(WARNING_SHARE * 60 * time_min)
    return max(SHORTEST_WARNING_S, min(LONGEST_WARNING_S, share))


def _forget_last_words(folder: Path, offset: int) -> str:
    """Return a line of the batch script that deletes the task's last words.

    A requeued task that dies before its worker starts must not be judged by the words of the
    process before it.
    """
    name = last_words.path_of(Path(), 0, 0).name.removeprefix("00000")
    shard = f'"$(printf %05d $((SLURM_ARRAY_TASK_ID + {offset})))"'
    return f"rm -f {shlex.quote(str(folder))}/{shard}{name}"
