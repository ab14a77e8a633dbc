"""Load tiny models as the classifier does, and read their probabilities."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.transformers.classifier import TransformersClassifier
from pipeline.model import JsonObject
from tests.pipeline.classifiers.classifier_setup import answers, frozen_options, options_of, posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

from tests.pipeline.classifiers.transformers import tiny_model

TEXTS = [
    "what a fine day",
    "a",
    "The table is awful " * 9,
    "🦋 مرحبا",
    "is the day awful and the table fine",
    "xyzzy 42",
    *(" ".join(tiny_model.WORDS[: 1 + n % 9]) + f" {n}" for n in range(60)),
]
# One of many tasks on the machine uses one core.
ONE_THREAD = TaskShare(parallel_tasks=1_000)


def load(folder: Path, **keys: Any) -> TransformersClassifier:
    """Return the classifier of a folder; on a GPU, if the machine has one, but in float32."""
    options = options_of("transformers", {"model": str(folder), "dtype": "float32", **keys})
    return TransformersClassifier(options, ONE_THREAD)


def options(folder: Path, **keys: Any) -> JsonObject:
    """Return the frozen options of a folder's model."""
    own = {"type": "transformers", "model": str(folder), "dtype": "float32"}
    return frozen_options(own | keys)


def probabilities(classifier: TransformersClassifier, texts: Sequence[str]) -> list[list[float]]:
    """Return the probabilities of each text, by label."""
    by_text = answers(classifier, posts(*texts))
    rows = []
    for text in texts:
        values = by_text[text].values
        assert values is not None, by_text[text]
        rows.append([value for value in values.values() if isinstance(value, float)])
    return rows
