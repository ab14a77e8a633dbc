"""What a model does with a GPU, by a pretended one: where everything lies, in which numbers, and
what is waited for. Not that a real one computes the same, nor how fast."""

import os
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.transformers.classifier import MOST_TOKENS, TransformersClassifier
from pipeline.errors import Cause, TaskError
from tests.pipeline.classifiers.classifier_setup import options_of, posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

import torch
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError

from tests.pipeline.classifiers.transformers import tiny_model
from tests.pipeline.classifiers.transformers.pretended_gpu import GPU, PretendedGpu, pretended_gpu
from tests.pipeline.classifiers.transformers.tiny_model import MULTI, SINGLE, TOXIC

if torch.cuda.is_available():
    pytest.skip("there is a real one", allow_module_level=True)

KINDS = ["bert", "distilbert", "roberta", "gpt2"]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedGpu]:
    with pretended_gpu(monkeypatch) as gpu:
        yield gpu


def made(folder: Path, **keys: Any) -> TransformersClassifier:
    options = options_of("transformers", {"model": str(folder), **keys})
    return TransformersClassifier(options, TaskShare(parallel_tasks=1_000))


class Passes:
    """Of each pass of a model: where its inputs are, and where and what its logits are."""

    def __init__(self, classifier: TransformersClassifier) -> None:
        self.seen: list[tuple[set[torch.device], torch.device, torch.dtype]] = []
        network = classifier.sequence_model.network
        network.register_forward_hook(self._look, with_kwargs=True)

    def _look(self, model: Any, args: Any, inputs: dict[str, Any], given: Any) -> None:
        places = {tensor.device for tensor in inputs.values() if isinstance(tensor, torch.Tensor)}
        self.seen.append((places, given.logits.device, given.logits.dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bfloat16", [True, False])
def test_all_of_it_is_on_the_gpu_in_half_the_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, bfloat16: bool
) -> None:
    folder = tiny_model.save(tmp_path, kind=kind)
    expected = torch.bfloat16 if bfloat16 else torch.float16
    with pretended_gpu(monkeypatch, bfloat16=bfloat16):
        classifier = made(folder)
        network: Any = classifier.sequence_model.network
        assert {(tensor.device, tensor.dtype) for tensor in network.parameters()} == {
            (GPU, expected)
        }
        assert {tensor.device for tensor in network.buffers()} <= {GPU}
        passes = Passes(classifier)
        found = list(classifier.classify(posts("a fine day", "the table is awful", "what")))
    assert classifier.model.endswith(" bfloat16" if bfloat16 else " float16")
    assert passes.seen == [({GPU}, GPU, expected)]
    assert [answer.uri for answer in found] == ["at://1", "at://0", "at://2"]
    assert found[0].values == {f"prob_{label}": 0.5 for label in TOXIC}


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float32", torch.float32), ("float16", torch.float16)]
)
def test_numbers_that_were_asked_for_are_the_gpus_too(
    toxic: Path, gpu: PretendedGpu, dtype: str, expected: torch.dtype
) -> None:
    network: Any = made(toxic, dtype=dtype).sequence_model.network
    assert {(tensor.device, tensor.dtype) for tensor in network.parameters()} == {(GPU, expected)}


def test_what_is_left_on_the_cpu_is_an_error(toxic: Path, gpu: PretendedGpu) -> None:
    """Of the pretended GPU, too: else the other tests here would show nothing."""
    classifier = made(toxic)
    network: Any = classifier.sequence_model.network
    left_behind = {"input_ids": torch.ones(1, 5).long()}
    network.register_forward_pre_hook(
        lambda module, args, inputs: (args, inputs | left_behind), with_kwargs=True
    )
    with pytest.raises(FakeTensorDeviceMismatchError):
        list(classifier.classify(posts("a fine day")))


@pytest.mark.parametrize(("problem_type", "function"), [(MULTI, "sigmoid"), (SINGLE, "softmax")])
def test_the_next_batch_is_begun_before_an_answer_is_read_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem_type: str, function: str
) -> None:
    """Whatever is done for a batch's answers is told to the GPU with that batch, and they are
    waited for by its own mark: what came after the next batch would wait for that tensor too."""
    folder = tiny_model.save(tmp_path, problem_type=problem_type)
    with pretended_gpu(monkeypatch) as gpu:
        classifier = made(folder, max_tokens_per_batch=5)
        network: Any = classifier.sequence_model.network
        network.register_forward_hook(lambda *_: gpu.operations.append("pass"))
        gpu.operations.clear()
        list(classifier.classify(posts("a fine day", "the fine table", "what a day")))
    begin = ["to the GPU"] * 2 + ["pass", f"{function} in float32"] + ["to the CPU"] * 2 + ["mark"]
    read = ["wait", "read", "read"]
    assert gpu.operations == [*begin, *begin, *read, *begin, *read, *read]


def test_a_gpus_batches_are_large(toxic: Path, gpu: PretendedGpu) -> None:
    classifier = made(toxic)
    rows: list[int] = []
    network: Any = classifier.sequence_model.network
    network.register_forward_pre_hook(
        lambda _, args, inputs: rows.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    list(classifier.classify(posts(*["what a fine day"] * 6_000)))
    assert rows == [16_380, 16_380, 3_240]
    assert MOST_TOKENS["cuda"] == 16_384


TOO_MUCH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_memory_is_given_back_when_nothing_holds_it_any_more_and_the_gpu_is_named(
    toxic: Path, gpu: PretendedGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = made(toxic)
    given_back: list[BaseException | None] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(sys.exception()))

    def full(*_: Any) -> None:
        raise TOO_MUCH

    network: Any = classifier.sequence_model.network
    network.register_forward_pre_hook(full)
    with pytest.raises(TaskError) as ended:
        list(classifier.classify(posts("a fine day", "what a fine day", "a", "the")))
    assert ended.value.cause is Cause.OUT_OF_MEMORY
    assert str(ended.value) == (
        "one post of 6 tokens does not fit NVIDIA H100 80GB HBM3 with 79 GiB: use a GPU with "
        "more (cluster.gres), or set a smaller classifier.max_length or dtype"
    )
    assert given_back == [None] * 3  # of four posts, two, tensor


def test_what_lacks_memory_after_the_pass_is_halved_too(toxic: Path, gpu: PretendedGpu) -> None:
    """The scores need some as well, and so does the CPU's memory that they are copied to."""
    classifier = made(toxic)
    passes = Passes(classifier)
    gpu.fits = 2
    found = list(classifier.classify(posts("a fine day", "what a fine day", "a", "the")))
    assert len(passes.seen) == 3  # of four posts, two and two
    assert [answer.uri for answer in found] == ["at://1", "at://0", "at://2", "at://3"]
    assert all(answer.values for answer in found)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa)`",
    ],
)
def test_an_error_that_shows_up_when_an_answer_is_waited_for_ends_the_task(
    toxic: Path, gpu: PretendedGpu, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    """The device is of no more use to this process then; and which batch it was, nobody knows."""
    classifier = made(toxic, max_tokens_per_batch=5)
    broken = torch.AcceleratorError(message)

    def fail(_: Any) -> None:
        raise broken

    monkeypatch.setattr(torch.cuda.Event, "synchronize", fail)
    gpu.operations.clear()
    with pytest.raises(torch.AcceleratorError) as ended:
        list(classifier.classify(posts("a fine day", "the fine table", "what a day")))
    assert ended.value is broken
    assert [what for what, _ in groupby(gpu.operations) if what == "mark"] == ["mark", "mark"]
