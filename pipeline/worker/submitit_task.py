"""The entry point of a Slurm task: what submitit unpickles on a compute node, and calls."""

from submitit.core.utils import DelayedSubmission

from pipeline.model import WorkOrder
from pipeline.worker.process import run_process


class ShardTask:
    """What submitit calls on the node. `checkpoint` makes it one that submitit requeues.

    Whether and how often is the order's `set_timeout`: submitit counts down. Without requeues
    submitit's handler is never asked, since it takes a warning long before the time limit for a
    preemption, which it does not count.
    """

    def __init__(self, requeues: int) -> None:
        self.requeues = requeues

    def __call__(self, order: WorkOrder) -> None:
        run_process(order, requeue=self.requeues > 0)

    def checkpoint(self, order: WorkOrder) -> DelayedSubmission:
        """The same again: what is done lies in the shard's parts, and nowhere else."""
        return DelayedSubmission(self, order)
