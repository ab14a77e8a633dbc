"""Decide what a task may use of its machine: a GPU that Slurm allocated, and its own cores."""

from collections.abc import Mapping

from pipeline.errors import Cause, TaskError

DEVICES = ("auto", "cpu", "cuda")
# Which of them are set depends on Slurm's version and plugins, and on whether a step is running.
_GPU_VARIABLES = (
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
    "SLURM_GPUS_ON_NODE",
    "CUDA_VISIBLE_DEVICES",
)
# What they hold when no GPU is allocated.
_NO_GPU = ("", "0", "-1", "NoDevFiles")


def choose_device(
    configured: str, *, sees_gpu: bool, built_for_gpu: bool, environment: Mapping[str, str]
) -> str:
    """Return "cpu" or "cuda".

    `auto` means the GPU that Slurm allocated; outside Slurm, any GPU that is there. A GPU that
    Slurm did not allocate belongs to another job, even if nothing hides it.

    Args:
        configured: one of DEVICES.
        sees_gpu: whether torch can use a GPU now.
        built_for_gpu: whether torch was built so that it could, with a driver.
        environment: the task's environment variables.

    Raises:
        TaskError: a GPU that was configured or allocated cannot be used. On cores alone, a run of
            hours would take weeks, and nobody would notice.
    """
    allocated = _allocated_gpu(environment)
    if configured == "cpu":
        return "cpu"
    if configured == "auto" and not allocated and ("SLURM_JOB_ID" in environment or not sees_gpu):
        return "cpu"
    if sees_gpu:
        return "cuda"
    expectation = (
        f"Slurm gave this task a GPU ({allocated})" if allocated else "classifier.device is cuda"
    )
    if not built_for_gpu:
        raise TaskError(
            Cause.REFUSED,
            f"{expectation}, but this torch is built for CPUs only: install one with CUDA in the "
            "environment of cluster.python, or set classifier.device: cpu",
        )
    if allocated:
        raise TaskError(
            Cause.NODE,
            f"{expectation}, but torch sees none: the GPU or its driver fails on this node, or the "
            "driver is too old for this torch (run nvidia-smi there)",
        )
    raise TaskError(
        Cause.REFUSED, f"{expectation}, but there is no GPU: request one in cluster.gres (gpu:1)"
    )


def threads(environment: Mapping[str, str], *, usable: int, parallel_tasks: int) -> int:
    """Return how many cores are the task's own.

    They are Slurm's --cpus-per-task, or outside Slurm the task's share of the machine.

    Args:
        environment: the task's environment variables.
        usable: the number of cores that the process may run on.
        parallel_tasks: the number of tasks that share the machine outside Slurm.
    """
    per_task = environment.get("SLURM_CPUS_PER_TASK", "")
    own = int(per_task) if per_task.isdecimal() else usable
    if "SLURM_JOB_ID" not in environment:
        own = usable // parallel_tasks
    return max(1, min(own, usable))


def _allocated_gpu(environment: Mapping[str, str]) -> str:
    """Return the variable that shows the allocated GPU, as NAME=value; '' without a GPU."""
    if "SLURM_JOB_ID" not in environment:
        return ""
    for name in _GPU_VARIABLES:
        value = environment.get(name, "")
        # "0" is the first GPU, but in SLURM_GPUS_ON_NODE, which counts them, it means none.
        if value not in _NO_GPU or (value == "0" and name != "SLURM_GPUS_ON_NODE"):
            return f"{name}={value}"
    return ""
