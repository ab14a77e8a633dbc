"""Run one task of a Slurm array in this process, which belongs to the task.

The attempt's log folder names the run and the attempt, Slurm's variables name the array task, and
the orders in the folder have the rest. Nothing is unpickled, so no file in the folder is code.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from pipeline.errors import InputError, UnreadableError
from pipeline.run_files import array_orders
from pipeline.run_files.array_orders import ArrayOrders
from pipeline.system import ownership
from pipeline.terminal import flush_streams
from pipeline.worker.process import end_at_once, run_task
from pipeline.worker.shard_task import say

# NFS clients may show a file of another node only after a minute.
ORDERS_WAIT_S = 60.0
_SCONTROL_WAIT_S = 60.0


def main(folder: Path, environment: Mapping[str, str]) -> None:
    """Label the shard of this array task, and end the process.

    Args:
        folder: the attempt's log folder, absolute.
        environment: the variables that Slurm gave the task.
    """
    ownership.keep_others_out()
    if refusal := why_not_to_label(environment):
        say(refusal)
        return
    try:
        orders = wait_for_orders(folder)
        order = orders.of_task(folder, int(environment.get("SLURM_ARRAY_TASK_ID", "-1")))
    except (OSError, InputError, UnreadableError) as error:
        sys.exit(f"error: the task has no order: {error}")
    if orders.requeues:
        signal.signal(signal.SIGUSR2, requeue_handler(orders.requeues, environment))
    try:
        run_task(order, requeue=orders.requeues > 0)
    except SystemExit as end:
        if not end.code:
            say(array_orders.END_LINE)
        end_at_once(end.code)
    say(array_orders.END_LINE)
    flush_streams()


def wait_for_orders(folder: Path, *, wait_s: float = ORDERS_WAIT_S) -> ArrayOrders:
    """Return the orders in the folder once they can be seen here.

    They were written before the array was released. The errors are those of `array_orders.read`.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return array_orders.read(folder)
        except (OSError, UnreadableError):
            if time.monotonic() >= deadline:
                raise
        time.sleep(min(1.0, wait_s))


def why_not_to_label(environment: Mapping[str, str]) -> str:
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


def requeue_handler(
    requeues: int, environment: Mapping[str, str]
) -> Callable[[int, FrameType | None], None]:
    """Return what puts the task back into Slurm's queue and ends it.

    Args:
        requeues: how often the task may do that; after that, the handler raises RuntimeError.
        environment: the variables that Slurm gave the task. Slurm counts the restarts for us, also
            those after a preemption.
    """
    job = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    restarts = int(environment.get("SLURM_RESTART_COUNT", "0"))

    def requeue(number: int, frame: FrameType | None) -> None:
        if restarts >= requeues:
            raise RuntimeError(f"not requeued: it was restarted {restarts} times already")
        done = subprocess.run(
            ["scontrol", "requeue", job],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SCONTROL_WAIT_S,
        )
        if done.returncode:
            raise RuntimeError(f"not requeued: scontrol requeue {job}: {done.stderr.strip()}")
        say(f"requeued job {job}: near its time limit, for restart {restarts + 1} of {requeues}")
        sys.exit(-1)

    return requeue
