"""Define what submitit unpickles on a node, for arrays that an earlier version submitted.

Their orders were pickles of this class, and they may still be pending. New arrays run
`slurm_task`.
"""

import os

from submitit.core.utils import DelayedSubmission

from pipeline.model import WorkOrder
from pipeline.terminal import use_clean_streams
from pipeline.worker.array_task import why_not_to_label
from pipeline.worker.process import run_process
from pipeline.worker.shard_task import say


class ShardTask:
    """What submitit calls on the node. `checkpoint` lets submitit requeue the task.

    submitit counts requeues down from `requeues`. If that is 0, submitit never calls `checkpoint`.
    If Slurm's warning arrives long before the time limit, submitit treats it as a preemption and
    does not count it.
    """

    def __init__(self, requeues: int) -> None:
        """Keep how often submitit may requeue the task after its time limit."""
        self.requeues = requeues

    def __call__(self, order: WorkOrder) -> None:
        """Label the shard and end the process."""
        use_clean_streams()
        if refusal := why_not_to_label(os.environ):
            say(f"shard {order.shard_index}: {refusal}")
            return
        run_process(order, requeue=self.requeues > 0)

    def checkpoint(self, order: WorkOrder) -> DelayedSubmission:
        """Return the same task again: the shard's parts hold what is done."""
        return DelayedSubmission(self, order)
