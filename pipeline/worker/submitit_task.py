"""Define the entry point of a Slurm task: what submitit unpickles on a node, and calls."""

import os
from collections.abc import Mapping

from submitit.core.utils import DelayedSubmission

from pipeline.model import WorkOrder
from pipeline.worker.process import run_process
from pipeline.worker.shard_task import say


class ShardTask:
    """What submitit calls on the node. `checkpoint` lets submitit requeue the task.

    Whether and how often it does follows from the order's `set_timeout`: submitit counts down.
    Without requeues submitit's handler is never called. It takes a warning that comes long before
    the time limit for a preemption, which it does not count.
    """

    def __init__(self, requeues: int) -> None:
        """Take how often submitit may requeue the task."""
        self.requeues = requeues

    def __call__(self, order: WorkOrder) -> None:
        """Label the shard and end the process."""
        if copy := further_copy(os.environ):
            say(f"shard {order.shard_index}: {copy}")
            return
        run_process(order, requeue=self.requeues > 0)

    def checkpoint(self, order: WorkOrder) -> DelayedSubmission:
        """Return the same task again: the shard's parts hold what is done."""
        return DelayedSubmission(self, order)


def further_copy(environment: Mapping[str, str]) -> str:
    """Return why this process must not label anything; '' for the first process of a step.

    sbatch and srun get --ntasks=1. A site's wrapper or plugin can still start copies of a task
    (datatrove#296). All of them would label, and pay for, the same posts.
    """
    number, count = environment.get("SLURM_PROCID", "0"), environment.get("SLURM_NTASKS", "?")
    if number == "0":
        return ""
    return (
        f"srun started {count} copies of this task, and this is copy {number}; only copy 0 labels "
        "posts, so this one ends now"
    )
