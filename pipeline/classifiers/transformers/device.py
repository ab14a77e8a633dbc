"""What of its machine a task may use: a GPU that Slurm gave it, and its own cores."""

from collections.abc import Mapping

from pipeline.errors import Cause, TaskError

DEVICES = ("auto", "cpu", "cuda")
# Which of them are set depends on the version, the plugins, and whether the task runs in a step.
_PROMISES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE", "CUDA_VISIBLE_DEVICES")
# What they hold where there is none.
_NONE = ("", "0", "-1", "NoDevFiles")


def device(
    asked: str, *, sees_gpu: bool, built_for_gpu: bool, environment: Mapping[str, str]
) -> str:
    """ "cpu" or "cuda". Raises TaskError where a GPU that was asked for, or that Slurm gave the
    task, cannot be used: on cores alone a run of hours would take weeks, and nobody would notice.

    auto: the GPU that Slurm gave; outside Slurm, the one that is there. One that Slurm did not give
    is another's, even where nothing hides it.

    Args:
        sees_gpu: whether torch can use one.
        built_for_gpu: whether torch was built so that it could, with a driver.
    """
    given = _given(environment)
    if asked == "cpu":
        return "cpu"
    if asked == "auto" and not given and ("SLURM_JOB_ID" in environment or not sees_gpu):
        return "cpu"
    if sees_gpu:
        return "cuda"
    promise = f"Slurm gave this task a GPU ({given})" if given else "classifier.device is cuda"
    if not built_for_gpu:
        raise TaskError(
            Cause.REFUSED,
            f"{promise}, but this torch is built for CPUs only: install one with CUDA in the "
            "environment of cluster.python, or set classifier.device: cpu",
        )
    if given:
        raise TaskError(
            Cause.NODE,
            f"{promise}, but torch sees none: the GPU or its driver fails on this node, or the "
            "driver is too old for this torch (nvidia-smi tells)",
        )
    raise TaskError(
        Cause.REFUSED, f"{promise}, but there is none: ask for one in cluster.gres (gpu:1)"
    )


def threads(environment: Mapping[str, str], *, usable: int, parallel_tasks: int) -> int:
    """How many cores are the task's own: Slurm's --cpus-per-task, or its share of the machine.

    Args:
        usable: cores that the process may run on.
        parallel_tasks: tasks that share the machine, where there is no Slurm.
    """
    told = environment.get("SLURM_CPUS_PER_TASK", "")
    own = int(told) if told.isdecimal() else usable
    if "SLURM_JOB_ID" not in environment:
        own = usable // parallel_tasks
    return max(1, min(own, usable))


def _given(environment: Mapping[str, str]) -> str:
    """The variable that shows Slurm's GPU, as NAME=value; '' where Slurm gave none."""
    if "SLURM_JOB_ID" not in environment:
        return ""
    for name in _PROMISES:
        value = environment.get(name, "")
        # "0" is the first GPU, but of SLURM_GPUS_ON_NODE, a count, it is none.
        if value not in _NONE or (value == "0" and name != "SLURM_GPUS_ON_NODE"):
            return f"{name}={value}"
    return ""
