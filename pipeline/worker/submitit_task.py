"""Define the entry point of a Slurm task: what submitit unpickles on a node, and calls."""

from submitit.core.utils import DelayedSubmission

from pipeline.model import WorkOrder
from pipeline.worker.process import run_process


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
        run_process(order, requeue=self.requeues > 0)

    def checkpoint(self, order: WorkOrder) -> DelayedSubmission:
        """Return the same task again: the shard's parts hold what is done."""
        return DelayedSubmission(self, order)
