"""Posts whose scores cannot be used: they get a reason and never a score."""

import os
from pathlib import Path

import pytest

from tests.pipeline.classifiers.classifier_setup import answers, posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

import torch
from tokenizers import Regex, normalizers, processors

from tests.pipeline.classifiers.transformers import tiny_model
from tests.pipeline.classifiers.transformers.loaded_model import (
    load,
)
from tests.pipeline.classifiers.transformers.tiny_model import TOXIC


def test_a_number_too_large_for_half_precision_gives_a_reason(
    tmp_path: Path,
) -> None:
    """float16 ends at 65,504. A larger number is infinite in it, but not in the other formats."""
    model = tiny_model.model()
    with torch.no_grad():
        model.get_input_embeddings().weight[tiny_model.VOCABULARY.index("poison")] *= 1e6
    model.save_pretrained(tmp_path)
    tiny_model.tokenizer(positions=64).save_pretrained(tmp_path)
    texts = ["what a fine day", "what a poison day"]
    reasons = {
        dtype: [answers(load(tmp_path, dtype=dtype), posts(*texts))[text].reason for text in texts]
        for dtype in ("float32", "bfloat16", "float16")
    }
    assert reasons == {
        "float32": [None, None],
        "bfloat16": [None, None],
        "float16": [None, "invalid_answer"],
    }


def model_with_a_nan_word(folder: Path) -> Path:
    model = tiny_model.model()
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[tiny_model.VOCABULARY.index("poison")] = float("nan")
    model.save_pretrained(folder)
    tiny_model.tokenizer(positions=64).save_pretrained(folder)
    return folder


def test_a_score_that_is_not_finite_gives_a_reason(tmp_path: Path) -> None:
    classifier = load(model_with_a_nan_word(tmp_path))
    texts = ["what a fine day", "what a poison day", "the table is awful", "poison " * 99]
    found = answers(classifier, posts(*texts))
    assert {text: found[text].reason for text in texts} == {
        texts[0]: None,
        texts[1]: "invalid_answer",
        texts[2]: None,
        texts[3]: "invalid_answer",
    }
    assert found[texts[1]].values is None
    assert found[texts[3]].facts == {"was_truncated": True}


def model_that_drops_digits(folder: Path) -> Path:
    """Save a model whose tokenizer adds no tokens around a text, as word-level ones often do."""
    tiny_model.model().save_pretrained(folder)
    reader = tiny_model.tokenizer(positions=64)
    reader.backend_tokenizer.normalizer = normalizers.Replace(Regex("[0-9]"), "")
    reader.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    reader.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("others", [[], ["what a fine day", "the table is awful"]])
def test_a_text_without_tokens_gives_a_reason(tmp_path: Path, others: list[str]) -> None:
    """It gets no probabilities of the batch's padding, and alone it does not end the task."""
    classifier = load(model_that_drops_digits(tmp_path))
    found = answers(classifier, posts("12345", *others, "678 90"))
    assert [found[text].reason for text in ("12345", "678 90")] == ["no_tokens"] * 2
    assert [found[text].values for text in ("12345", "678 90")] == [None] * 2
    assert [found[text].reason for text in others] == [None] * len(others)
    for text, plain in zip(others, tiny_model.plain(tmp_path, others), strict=True):
        assert found[text].values == pytest.approx(
            {f"prob_{label}": value for label, value in zip(TOXIC, plain, strict=True)}, abs=1e-5
        )
