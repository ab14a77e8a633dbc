"""The probabilities and columns of a model, held against a plain pass through transformers."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.model import Answer, Column
from tests.pipeline.classifiers.classifier_setup import answers, posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")


from tests.pipeline.classifiers.transformers import tiny_model
from tests.pipeline.classifiers.transformers.loaded_model import TEXTS, load, probabilities
from tests.pipeline.classifiers.transformers.tiny_model import MULTI, SINGLE, TOXIC

LAB = {
    "toxic": "prob_toxic",
    "severe_toxic": "prob_severe_toxic",
    "obscene": "prob_profanity",
    "threat": "prob_threat",
    "insult": "prob_insult",
    "identity_hate": "prob_identity_attack",
}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "xlm-roberta", "gpt2", "modernbert"])
@pytest.mark.parametrize("problem_type", [MULTI, SINGLE])
def test_a_post_in_a_batch_has_the_same_probabilities_as_alone(
    tmp_path: Path, kind: str, problem_type: str
) -> None:
    folder = tiny_model.save(tmp_path, kind=kind, problem_type=problem_type)
    expected = tiny_model.plain(folder, TEXTS, softmax=problem_type == SINGLE)
    found = probabilities(load(folder, max_tokens_per_batch=200), TEXTS)
    assert len({row[0] for row in found}) > 50
    for row, plain in zip(found, expected, strict=True):
        assert row == pytest.approx(plain, abs=1e-5)


def test_a_multi_label_model_has_one_column_per_label(toxic: Path) -> None:
    classifier = load(toxic)
    assert classifier.columns == (
        *(Column(f"prob_{label}", "number") for label in TOXIC),
        Column("was_truncated", "flag"),
    )
    (answer,) = classifier.classify(posts("what a fine day"))
    (plain,) = tiny_model.plain(toxic, ["what a fine day"])
    values = {f"prob_{label}": value for label, value in zip(TOXIC, plain, strict=True)}
    assert answer == Answer(
        "at://0", pytest.approx(values, abs=1e-5), facts={"was_truncated": False}
    )


def test_labels_can_be_mapped_to_the_columns_of_another_classifier(toxic: Path) -> None:
    classifier = load(toxic, labels={**LAB, "toxic": "prob_toxic"})
    assert [column.name for column in classifier.columns] == [*LAB.values(), "was_truncated"]
    (answer,) = classifier.classify(posts("the table is brown"))
    plain = dict(zip(TOXIC, tiny_model.plain(toxic, ["the table is brown"])[0], strict=True))
    assert answer.values == {
        column: pytest.approx(plain[label], abs=1e-5) for label, column in LAB.items()
    }


def test_the_most_probable_of_exclusive_labels_is_a_column(
    tmp_path: Path,
) -> None:
    moods = ("negative", "neutral", "positive")
    folder = tiny_model.save(tmp_path, labels=moods, problem_type=SINGLE)
    classifier = load(folder, labels={"positive": "prob_positive"})
    assert classifier.columns == (
        Column("prob_positive", "number"),
        Column("label", "text"),
        Column("was_truncated", "flag"),
    )
    found = answers(classifier, posts(*TEXTS))
    seen = set()
    for text, plain in zip(TEXTS, tiny_model.plain(folder, TEXTS, softmax=True), strict=True):
        most_probable = moods[plain.index(max(plain))]
        assert found[text].values == {
            "prob_positive": pytest.approx(plain[2], abs=1e-5),
            "label": most_probable,
        }
        seen.add(most_probable)
    assert len(seen) > 1


def test_multi_label_can_be_overridden(tmp_path: Path) -> None:
    folder = tiny_model.save(tmp_path, labels=("a", "b"), problem_type=None)
    assert load(folder).columns[-2] == Column("label", "text")
    expected = tiny_model.plain(folder, TEXTS[:3])
    found = probabilities(load(folder, multi_label=True), TEXTS[:3])
    assert found == [pytest.approx(row, abs=1e-5) for row in expected]


def test_the_same_batches_agree_exactly_and_other_batches_to_rounding(toxic: Path) -> None:
    whole = probabilities(load(toxic, max_tokens_per_batch=300), TEXTS)
    assert probabilities(load(toxic, max_tokens_per_batch=300), TEXTS) == whole
    later = probabilities(load(toxic, max_tokens_per_batch=64), TEXTS[17:])
    assert later == [pytest.approx(row, abs=1e-5) for row in whole[17:]]


@pytest.mark.parametrize(("dtype", "nearness"), [("bfloat16", 0.1), ("float16", 0.02)])
@pytest.mark.parametrize("problem_type", [MULTI, SINGLE])
def test_half_precision_is_close_and_is_recorded(
    tmp_path: Path, dtype: str, nearness: float, problem_type: str
) -> None:
    folder = tiny_model.save(tmp_path / "tiny-toxic", problem_type=problem_type)
    exact, half = load(folder), load(folder, dtype=dtype)
    network: Any = half.sequence_model.network
    assert {str(weights.dtype) for weights in network.parameters()} == {f"torch.{dtype}"}
    revision = exact.model.removeprefix("tiny-toxic@").removesuffix(" float32")
    assert revision.startswith("sha256:")
    assert half.model == f"tiny-toxic@{revision} {dtype}"
    whole, near = probabilities(exact, TEXTS), probabilities(half, TEXTS)
    for row, found in zip(whole, near, strict=True):
        assert found == pytest.approx(row, abs=nearness)
        # Computed in float32 from the logits on; rounded there, they would not sum to 1.
        assert problem_type == MULTI or sum(found) == pytest.approx(1, abs=1e-6)
    assert near != whole
