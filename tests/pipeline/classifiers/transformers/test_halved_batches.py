"""Batches that do not fit in memory: they are halved, and later ones stay small."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.transformers.classifier import TransformersClassifier
from pipeline.errors import Cause, TaskError
from tests.pipeline.classifiers.classifier_setup import posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

import torch

from tests.pipeline.classifiers.transformers.loaded_model import (
    load,
)

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class LimitedMemory:
    """Memory for `rows` rows of a model's input; more of them raise an error of torch."""

    def __init__(
        self, classifier: TransformersClassifier, rows: int, error: RuntimeError = OUT_OF_MEMORY
    ) -> None:
        self.rows = rows
        self.error = error
        self.seen: list[int] = []
        network = classifier.sequence_model.network
        network.register_forward_pre_hook(self._look, with_kwargs=True)

    def _look(self, model: Any, arguments: Any, inputs: dict[str, Any]) -> None:
        rows = inputs["input_ids"].shape[0]
        self.seen.append(rows)
        if rows > self.rows:
            raise self.error


def test_later_batches_are_as_small_as_the_parts_that_fit(toxic: Path) -> None:
    classifier = load(toxic, max_tokens_per_batch=6 * 40)
    memory = LimitedMemory(classifier, rows=3)
    texts = [f"what a fine day {number}" for number in range(6)]  # of 7 tokens or 8 each
    list(classifier.classify(posts(*texts)))
    assert memory.seen == [6, 3, 3]
    memory.seen.clear()
    list(classifier.classify(posts(*texts)))
    assert memory.seen == [3, 3]


def test_a_single_post_that_does_not_fit_ends_the_task_as_out_of_memory(toxic: Path) -> None:
    classifier = load(toxic, device="cpu")
    LimitedMemory(classifier, rows=0)
    with pytest.raises(TaskError) as raised:
        list(classifier.classify(posts("what a fine day", "a fine table")))
    assert raised.value.cause is Cause.OUT_OF_MEMORY
    assert str(raised.value) == (
        "one post of 6 tokens does not fit memory: request more (cluster.mem_gb), or set a smaller "
        "classifier.max_length or dtype"
    )


def test_another_error_of_the_device_does_not_halve_the_batch(toxic: Path) -> None:
    classifier = load(toxic)
    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    memory = LimitedMemory(classifier, 0, broken)
    with pytest.raises(RuntimeError) as raised:
        list(classifier.classify(posts("what a fine day", "a fine table")))
    assert raised.value is broken
    assert len(memory.seen) == 1
