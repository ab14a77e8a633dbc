"""A GPU that Slurm gave is used or the task says why not; a task takes its own cores only."""

import pytest

from pipeline.classifiers.transformers.device import choose_device, threads
from pipeline.errors import Cause, TaskError

IN_SLURM = {"SLURM_JOB_ID": "4711"}
GIVEN = [
    {"SLURM_JOB_GPUS": "0"},
    {"SLURM_STEP_GPUS": "3"},
    {"SLURM_GPUS_ON_NODE": "1"},
    {"CUDA_VISIBLE_DEVICES": "0"},
    {"CUDA_VISIBLE_DEVICES": "GPU-8f6e2a3c"},
]
NOT_GIVEN = [
    {},
    {"CUDA_VISIBLE_DEVICES": ""},
    {"CUDA_VISIBLE_DEVICES": "NoDevFiles"},
    {"CUDA_VISIBLE_DEVICES": "-1"},
    {"SLURM_GPUS_ON_NODE": "0"},
]


def chosen(
    asked: str, environment: dict[str, str], *, sees: bool = True, built: bool = True
) -> str:
    return choose_device(asked, sees_gpu=sees, built_for_gpu=built, environment=environment)


@pytest.mark.parametrize("given", GIVEN)
def test_the_gpu_that_slurm_gave_is_used(given: dict[str, str]) -> None:
    assert chosen("auto", IN_SLURM | given) == "cuda"
    assert chosen("cuda", IN_SLURM | given) == "cuda"
    assert chosen("cpu", IN_SLURM | given) == "cpu"


@pytest.mark.parametrize("not_given", NOT_GIVEN)
def test_a_gpu_that_slurm_did_not_give_is_left_to_its_owner(not_given: dict[str, str]) -> None:
    assert chosen("auto", IN_SLURM | not_given) == "cpu"
    assert chosen("auto", IN_SLURM | not_given, sees=False, built=False) == "cpu"


def test_outside_slurm_the_one_that_is_there_is_used() -> None:
    assert chosen("auto", {}) == "cuda"
    assert chosen("auto", {}, sees=False) == "cpu"


def fault(asked: str, environment: dict[str, str], *, built: bool) -> tuple[Cause, bool, str]:
    with pytest.raises(TaskError) as refused:
        chosen(asked, environment, sees=False, built=built)
    return refused.value.cause, refused.value.stops_run, str(refused.value)


@pytest.mark.parametrize("asked", ["auto", "cuda"])
def test_a_torch_without_cuda_stops_the_run_before_it_computes_for_weeks(asked: str) -> None:
    assert fault(asked, IN_SLURM | {"SLURM_JOB_GPUS": "2"}, built=False) == (
        Cause.REFUSED,
        True,
        "Slurm gave this task a GPU (SLURM_JOB_GPUS=2), but this torch is built for CPUs only: "
        "install one with CUDA in the environment of cluster.python, or set classifier.device: cpu",
    )


def test_a_gpu_that_fails_is_the_nodes_fault_and_another_node_is_tried() -> None:
    assert fault("auto", IN_SLURM | {"SLURM_JOB_GPUS": "0"}, built=True) == (
        Cause.NODE,
        False,
        "Slurm gave this task a GPU (SLURM_JOB_GPUS=0), but torch sees none: the GPU or its driver "
        "fails on this node, or the driver is too old for this torch (run nvidia-smi there)",
    )


def test_a_gpu_that_is_wanted_and_was_not_asked_for_is_refused() -> None:
    assert fault("cuda", IN_SLURM, built=True) == (
        Cause.REFUSED,
        True,
        "classifier.device is cuda, but there is no GPU: request one in cluster.gres (gpu:1)",
    )
    assert fault("cuda", {}, built=False)[0] is Cause.REFUSED


@pytest.mark.parametrize(
    ("environment", "usable", "parallel", "expected"),
    [
        (IN_SLURM | {"SLURM_CPUS_PER_TASK": "4"}, 16, 50, 4),
        (IN_SLURM | {"SLURM_CPUS_PER_TASK": "4"}, 2, 50, 2),
        (IN_SLURM, 16, 50, 16),
        ({}, 16, 4, 4),
        ({}, 2, 8, 1),
        ({}, 3, 2, 1),
    ],
)
def test_a_task_takes_the_cores_that_are_its_own(
    environment: dict[str, str], usable: int, parallel: int, expected: int
) -> None:
    assert threads(environment, usable=usable, parallel_tasks=parallel) == expected
