"""Define what submitit unpickles on a node, for arrays that an earlier version submitted.

Their orders were pickles of this class, and they may still be pending. New arrays run
`slurm_task`.
"""

import os

from submitit.core.utils import DelayedSubmission

from pipeline.model import WorkOrder
from pipeline.terminal import use_clean_streams
from pipeline.worker.array_task import further_copy
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
        use_clean_streams()
        if copy := further_copy(os.environ):
            say(f"shard {order.shard_index}: {copy}")
            return
        run_process(order, requeue=self.requeues > 0)

    def checkpoint(self, order: WorkOrder) -> DelayedSubmission:
        """Return the same task again: the shard's parts hold what is done."""
        return DelayedSubmission(self, order)
