"""Pretend a GPU with torch's fake tensors, which have a device, a type and a shape, but no numbers.

Torch has them to follow a program without running it. As on a real GPU, an operation on tensors of
two devices is an error, and its result has the right type. This module adds what a torch that is
built for CPUs cannot do even with them: know which GPU "cuda" means, index a tensor or make it
contiguous, pin memory, make events. When the program reads numbers, all of them are 0.5 or true.
"""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree

from pipeline.classifiers.transformers import device, sequence_model

GPU = torch.device("cuda:0")


class PretendedGpu(TorchFunctionMode):
    """Records what a program has the device do.

    `operations` are "to the GPU", "sigmoid in float32", "to the CPU", "mark", "wait" and "read", in
    their order; a copy that is waited for is "to the GPU at once". `fits` is how many posts' scores
    its memory holds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []
        self.fits = 1_000_000

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        match getattr(func, "__name__", ""):
            case "to":
                args = tuple(GPU if is_the_gpu(arg) else arg for arg in args)
                self._note_copy(args, kwargs.get("non_blocking", False))
            case "pin_memory":
                pinned = args[0].clone()
                pinned.is_pinned_here = True
                return pinned
            case "__getitem__" if args[0].is_cuda:
                on_cpu = _pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.cpu(), args[1])
                return args[0].cpu()[on_cpu].to(GPU)
            case "contiguous":
                return args[0].clone(memory_format=torch.contiguous_format)
            case "sigmoid" | "softmax" as name if args[0].is_cuda:
                if len(args[0]) > self.fits:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
                self.operations.append(f"{name} in {str(args[0].dtype).removeprefix('torch.')}")
        return func(*args, **kwargs)

    def _note_copy(self, args: Any, non_blocking: bool) -> None:
        tensor, *wanted = args
        if GPU in wanted and not tensor.is_cuda and not isinstance(tensor, torch.nn.Parameter):
            # A copy from memory that may be swapped out always blocks.
            is_asynchronous = non_blocking and hasattr(tensor, "is_pinned_here")
            self.operations.append("to the GPU" if is_asynchronous else "to the GPU at once")
        elif "cpu" in wanted and tensor.is_cuda:
            self.operations.append("to the CPU" if non_blocking else "to the CPU at once")


def is_the_gpu(value: Any) -> bool:
    return value == "cuda" or (isinstance(value, torch.device) and value.type == "cuda")


@contextlib.contextmanager
def pretended_gpu(patch: pytest.MonkeyPatch, *, bfloat16: bool = True) -> Iterator[PretendedGpu]:
    """Let models made in this block see a GPU: an H100, or without `bfloat16` an older one."""
    gpu = PretendedGpu()

    class Event:
        def __init__(self, *, blocking: bool = False) -> None:
            assert blocking, "waiting for it takes a whole core"

        def record(self) -> None:
            gpu.operations.append("mark")

        def synchronize(self) -> None:
            gpu.operations.append("wait")

    def read(tensor: Any) -> Any:
        gpu.operations.append("read from the GPU" if tensor.is_cuda else "read")
        return filled(tensor.shape, True if tensor.dtype is torch.bool else 0.5)

    def choose_device(configured: str, **facts: Any) -> str:
        return device.choose_device(configured, **facts | {"sees_gpu": True})

    properties = SimpleNamespace(name="NVIDIA H100 80GB HBM3", total_memory=85_017_624_576)
    patch.setattr(sequence_model, "choose_device", choose_device)
    patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
    patch.setattr(torch.cuda, "get_device_properties", {0: properties}.__getitem__)
    patch.setattr(torch.cuda, "Event", Event)
    patch.setattr(FakeTensor, "tolist", read)
    # A model's weights are read in threads of transformers' own, where they are real ones.
    with FakeTensorMode(allow_non_fake_inputs=True), gpu:
        yield gpu


def filled(shape: Any, value: object) -> Any:
    return [filled(shape[1:], value) for _ in range(shape[0])] if shape else value
