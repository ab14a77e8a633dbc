"""A model on this machine's GPU: `python -m pytest -m gpu` (docs/contributing/testing.md)."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.transformers.classifier import TransformersClassifier
from pipeline.errors import Cause, TaskError
from pipeline.model import Post
from tests.pipeline.classifiers.classifier_setup import options_of

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

import torch

from tests.pipeline.classifiers.transformers import tiny_model

if not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)

pytestmark = pytest.mark.gpu

KINDS = ["bert", "distilbert", "roberta", "gpt2"]
# How far scores may be, on average, from those of the same batches in float32 on the CPU: thrice
# what the CPU's own are in these numbers, whose mantissa has 8, 11 and 24 bits.
NEAR = {"bfloat16": 0.01, "float16": 0.001, "float32": 1e-5}
MIB = 2**20


def made(folder: Path, **keys: Any) -> TransformersClassifier:
    return TransformersClassifier(
        options_of("transformers", {"model": str(folder), **keys}), TaskShare()
    )


def posts(count: int) -> list[Post]:
    chance = Random(1)
    return [
        Post(f"at://{at}", " ".join(chance.choices(tiny_model.WORDS, k=chance.randint(1, 62))))
        for at in range(count)
    ]


def scores(classifier: TransformersClassifier, asked: Sequence[Post]) -> torch.Tensor:
    """By post, in the order of `asked`, and label."""
    found = {answer.uri: answer.values for answer in classifier.classify(asked)}
    assert found.keys() == {post.uri for post in asked}
    rows = [found[post.uri] for post in asked]
    return torch.tensor([[float(str(value)) for value in (row or {}).values()] for row in rows])


@contextmanager
def little_memory() -> Iterator[None]:
    """64 MiB more than are in use now: what its allocator lacks then is the real error."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 64 * MIB) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("kind", KINDS)
def test_the_scores_are_the_cpus_and_the_same_each_time(
    tmp_path: Path, kind: str, dtype: str
) -> None:
    folder = tiny_model.save(tmp_path, kind=kind)
    asked = posts(600)
    classifier = made(folder, dtype=dtype, max_tokens_per_batch=1024)
    assert classifier.sequence_model.device == "cuda"
    assert classifier.model.endswith(f" {dtype}")
    found = scores(classifier, asked)
    exact = scores(made(folder, device="cpu", dtype="float32", max_tokens_per_batch=1024), asked)
    away = (found - exact).abs()
    print(f"{kind} {dtype}: at most {away.max():.2g}, on average {away.mean():.2g}")
    assert exact.std(dim=0).min() > 3 * NEAR[dtype], "too alike for this to show anything"
    assert away.mean() < NEAR[dtype]
    assert away.max() < 20 * NEAR[dtype]
    assert torch.equal(scores(classifier, asked), found)


def test_its_own_choice_is_half_the_precision(tmp_path: Path) -> None:
    classifier = made(tiny_model.save(tmp_path))
    assert classifier.sequence_model.device == "cuda"
    assert classifier.sequence_model.dtype in ("bfloat16", "float16")
    assert len(scores(classifier, posts(50))) == 50


def test_a_batch_that_its_memory_lacks_room_for_is_halved(tmp_path: Path) -> None:
    folder = tiny_model.save(tmp_path, size=(256, 2))
    asked = posts(8_000)
    classifier = made(folder, dtype="float32", max_tokens_per_batch=2**20)
    with little_memory():
        found = scores(classifier, asked)
    assert classifier.max_tokens < 2**20, "all had room: this shows nothing"
    exact = scores(made(folder, dtype="float32", device="cpu", max_tokens_per_batch=2**14), asked)
    assert (found - exact).abs().mean() < NEAR["float32"]


def test_one_post_that_its_memory_lacks_room_for_ends_the_task(tmp_path: Path) -> None:
    folder = tiny_model.save(tmp_path, size=(512, 2), positions=8_192)
    classifier = made(folder, dtype="float32")
    with little_memory(), pytest.raises(TaskError) as ended:
        list(classifier.classify([Post("at://0", "what " * 8_000)]))
    assert ended.value.cause is Cause.OUT_OF_MEMORY
    assert torch.cuda.get_device_name(0) in str(ended.value)
