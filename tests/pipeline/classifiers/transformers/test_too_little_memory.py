"""A device whose memory is too small for a batch: every post is answered once, or the task says
which post does not fit. The CPU's errors are real ones; a GPU's are of torch's own types."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.classifiers.transformers import classifier as local_model
from pipeline.classifiers.transformers.batching import padded_tokens
from pipeline.classifiers.transformers.classifier import TransformersClassifier
from pipeline.errors import Cause, TaskError
from pipeline.model import Post
from pipeline.run_files import last_words, output
from tests.pipeline import task_processes
from tests.pipeline.run_builders import make_run, order
from tests.pipeline.run_builders import posts as source_posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

import torch

from tests.pipeline.classifiers.transformers import tiny_model
from tests.pipeline.classifiers.transformers.loaded_model import TEXTS, load, options, probabilities


@pytest.fixture(scope="module")
def classifier(toxic: Path) -> TransformersClassifier:
    return load(toxic)


class Memory:
    """One that holds so many tokens of a model's input; `tried` is each batch's, in turn."""

    def __init__(
        self, classifier: TransformersClassifier, tokens: int, fail: Callable[[], object]
    ) -> None:
        self.tokens = tokens
        self.tried: list[int] = []
        self._fail = fail
        network: Any = classifier.sequence_model.network
        self._hook = network.register_forward_pre_hook(self._look, with_kwargs=True)

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _look(self, model: Any, args: Any, inputs: dict[str, Any]) -> None:
        self.tried.append(inputs["input_ids"].numel())
        if self.tried[-1] > self.tokens:
            self._fail()


def raising(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


# More than any machine's addresses.
CPU = {
    "torch": lambda: torch.empty(2**60, dtype=torch.uint8),
    "python": lambda: bytearray(2**60),
    "c++": raising(RuntimeError("std::bad_alloc")),
    "onednn": raising(RuntimeError("could not create a primitive")),
}
GPU = {
    message: raising(kind(message))
    for kind, message in [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a"),
        (torch.AcceleratorError, "CUDA error: out of memory\nCUDA kernel errors might be"),
        (
            RuntimeError,
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        ),
        (RuntimeError, "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        (
            RuntimeError,
            'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/pytorch/c10/cuda/CUDACachingAllocator'
            '.cpp":1015, please report a bug to PyTorch. ',
        ),
    ]
}


@pytest.mark.parametrize("fail", [*CPU.values(), *GPU.values()], ids=[*CPU, *GPU])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    toxic: Path, fail: Callable[[], object]
) -> None:
    expected = probabilities(load(toxic), TEXTS)
    classifier = load(toxic)
    with Memory(classifier, 40, fail) as memory:
        found = probabilities(classifier, TEXTS)
    assert found == [pytest.approx(row, abs=1e-5) for row in expected]
    assert max(memory.tried) > 40 * 8


def text(tokens: int) -> str:
    """With [CLS] and [SEP]."""
    return " ".join(["fine"] * (tokens - 2))


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(3, 40), max_size=40),
    budget=st.integers(3, 40) | st.integers(40, 200),
    most=st.integers(1, 600),
    ahead=st.integers(0, 2),
    pool=st.sampled_from([1, 16]),
)
@example(lengths=[3] * 4, budget=3, most=12, ahead=0, pool=1)
@example(lengths=[3, 9, 3], budget=8, most=30, ahead=1, pool=1)
def test_every_post_has_one_answer_or_one_that_does_not_fit_alone_ends_the_task(
    classifier: TransformersClassifier,
    lengths: list[int],
    budget: int,
    most: int,
    ahead: int,
    pool: int,
) -> None:
    asked = [Post(f"at://{number}", text(length)) for number, length in enumerate(lengths)]
    classifier.sequence_model.ahead = ahead
    classifier.max_tokens = most
    answered: list[str] = []
    with (
        pytest.MonkeyPatch.context() as patch,
        Memory(
            classifier, budget, raising(torch.OutOfMemoryError("CUDA out of memory."))
        ) as memory,
    ):
        patch.setattr(local_model, "POOL_BATCHES", pool)
        patch.setattr(local_model, "CHUNK", 7)
        try:
            answered += (answer.uri for answer in classifier.classify(asked))
        except TaskError as error:
            too_long = {length for length in lengths if length > budget}
            assert error.cause is Cause.OUT_OF_MEMORY
            assert any(f"one post of {length} tokens does" in str(error) for length in too_long)
            assert len(set(answered)) == len(answered)
            return
    assert max(lengths, default=0) <= budget
    assert sorted(answered) == sorted(post.uri for post in asked)
    # What failed is not tried again, nor anything as large.
    for number, tried in enumerate(memory.tried):
        if tried > budget:
            assert all(later < tried for later in memory.tried[number + 1 :])
    computed = [tried for tried in memory.tried if tried <= budget]
    assert sum(lengths) <= sum(computed) <= padded_tokens(lengths)


def test_memory_that_lacks_while_a_model_is_loaded_is_no_fault_of_the_model(
    toxic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a refusal it would stop the whole run."""
    monkeypatch.setattr(
        "pipeline.classifiers.transformers.pretrained.AutoModelForSequenceClassification"
        ".from_pretrained",
        lambda *_, **__: torch.empty(2**60, dtype=torch.uint8),
    )
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator") as ended:
        load(toxic)
    assert last_words.cause_of(ended.value) is Cause.OUT_OF_MEMORY


LIMITED = """
import resource, sys
from pathlib import Path
from pipeline.worker import process as worker
from pipeline.classifiers.transformers import loading

self_test = loading.self_test

def then_limited(model, labels):
    self_test(model, labels)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + {more} * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    begin = model.start
    def told(batch):
        started = begin(batch)
        print("rows", len(batch), "do not fit" if started is None else "fit")
        return started
    model.start = told

loading.self_test = then_limited
"""


def test_a_task_whose_memory_is_limited_labels_its_shard_in_smaller_batches(tmp_path: Path) -> None:
    """What is large in this model is so large that nothing small ever lacks memory: 64 KiB a token,
    twice, of which 24,000 tokens are too much, and 6,000 are not."""
    folder = tiny_model.save(
        tmp_path / "model", positions=512, size=(32, 1), intermediate_size=16_384
    )
    rows = [row._replace(text=f"a fine {row.text} " * 60) for row in source_posts(60)]
    run_dir, run = make_run(
        tmp_path, rows, classifier=options(folder, device="cpu", max_tokens_per_batch=10**6)
    )
    limited = replace(order(run_dir), parallel_tasks=1_000)
    # Addresses are what is limited. Arrow's own allocator reserves a GiB of them when it is first
    # asked for memory, and glibc 64 MiB for each thread that allocates.
    task = task_processes.start(
        limited,
        program=LIMITED.format(more=1_200),
        ARROW_DEFAULT_MEMORY_POOL="system",
        MALLOC_ARENA_MAX="1",
    )
    code, out, err = task_processes.finished(task, within=300)
    assert (code, err) == (0, "")
    tried = [line.split(maxsplit=2)[1:] for line in out.splitlines() if line.startswith("rows ")]
    sizes = [(int(posts), fit == "fit") for posts, fit in tried]
    assert sizes[:2] == [(60, False), (30, False)]
    assert set(sizes[2:]) == {(15, True)}
    assert len(sizes) == 6
    _, table = output.read(run_dir, run, 0)
    assert table is not None
    assert table["reason"].null_count == 60
    some = table.slice(0, 5)
    expected = tiny_model.plain(folder, some["text"].to_pylist())
    assert some["prob_toxic"].to_pylist() == pytest.approx([row[0] for row in expected], abs=1e-5)
