"""The models that succeed Perspective, as their configurations load them: other weights, which are
random and small, in the same architecture, with the labels that the configuration expects."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.classifiers.perspective.columns import ATTRIBUTES
from tests.pipeline.classifiers.classifier_setup import answers, posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

import torch

from tests.pipeline.classifiers.transformers import tiny_model
from tests.pipeline.classifiers.transformers.loaded_model import TEXTS, load, probabilities
from tests.pipeline.classifiers.transformers.tiny_model import MULTI, SINGLE

CONFIGS = Path(__file__).parents[4] / "configs"
# Longer than the eight positions that a layer of the tiny ModernBERT sees at once.
LONG = "the table is awful and the day is fine " * 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Successor:
    """A model as its authors describe it: the labels of config.json, and how it pools."""

    file: str
    labels: tuple[str, ...]
    kind: str
    config: Mapping[str, Any]


SEVEN = ("obscene", "threat", "insult", "identity_attack", "sexual_explicit")
SUCCESSORS = [
    Successor(
        file="toxicity_lens",
        # In another order than the configuration's.
        labels=("THREAT", "TOXICITY", "SEXUALLY_EXPLICIT", "SEVERE_TOXICITY", "INSULT",
                "IDENTITY_ATTACK", "PROFANITY"),
        kind="modernbert",
        config={"problem_type": MULTI, "classifier_pooling": "cls"},
    ),
    Successor(
        file="multilingual_toxicity",
        labels=("toxicity", "severe_toxicity", *SEVEN),
        kind="modernbert",
        # Nothing in config.json says that the labels do not exclude one another.
        config={"problem_type": None, "classifier_pooling": "mean"},
    ),
    Successor(
        file="toxic_bert", labels=tiny_model.TOXIC, kind="bert", config={"problem_type": MULTI}
    ),
]  # fmt: skip


def classifier_keys(file: str) -> dict[str, Any]:
    """What a configuration says of its model, apart from where it is and of the numbers."""
    section = yaml.safe_load((CONFIGS / f"{file}.yaml").read_text())["classifier"]
    return {key: section[key] for key in ("labels", "multi_label") if key in section}


@pytest.mark.parametrize("successor", SUCCESSORS, ids=lambda each: each.file)
def test_each_column_has_the_probability_of_its_label(tmp_path: Path, successor: Successor) -> None:
    folder = tiny_model.save(
        tmp_path, kind=successor.kind, labels=successor.labels, **successor.config
    )
    keys = classifier_keys(successor.file)
    assert set(keys["labels"]) == set(successor.labels)
    assert set(keys["labels"].values()) <= set(ATTRIBUTES.values())
    texts = [*TEXTS[:12], LONG]
    found = answers(load(folder, **keys), posts(*texts))
    for text, row in zip(texts, tiny_model.plain(folder, texts), strict=True):
        by_label = dict(zip(successor.labels, row, strict=True))
        assert found[text].values == {
            column: pytest.approx(by_label[label], abs=1e-5)
            for label, column in keys["labels"].items()
        }


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("modernbert", {"input_ids", "attention_mask"}),
        ("bert", {"input_ids", "attention_mask", "token_type_ids"}),
    ],
)
def test_a_model_gets_the_inputs_that_its_architecture_has(
    tmp_path: Path, kind: str, sent: set[str]
) -> None:
    """The tokenizer names token_type_ids in both cases."""
    tiny_model.model(kind=kind).save_pretrained(tmp_path)
    names = ["input_ids", "token_type_ids", "attention_mask"]
    tiny_model.tokenizer(positions=64, model_input_names=names).save_pretrained(tmp_path)
    classifier = load(tmp_path)
    network: Any = classifier.sequence_model.network
    seen: set[str] = set()
    network.register_forward_pre_hook(
        lambda module, args, inputs: seen.update(inputs), with_kwargs=True
    )
    answers(classifier, posts("a fine day"))
    assert seen == sent


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_post_longer_than_the_sliding_window_does_not_depend_on_its_batch(
    tmp_path: Path, pooling: str, side: str
) -> None:
    """mmBERT's tokenizer is Gemma's, and decoders are padded on the left."""
    config = {"kind": "modernbert", "classifier_pooling": pooling}
    tiny_model.model(**config).save_pretrained(tmp_path)
    tiny_model.tokenizer(positions=64, padding_side=side).save_pretrained(tmp_path)
    texts = [LONG, *TEXTS[:5]]
    found = probabilities(load(tmp_path, max_tokens_per_batch=2_000), texts)
    for row, plain in zip(found, tiny_model.plain(tmp_path, texts), strict=True):
        assert row == pytest.approx(plain, abs=1e-5)
    tiny_model.model(**config, local_attention=1_000).save_pretrained(tmp_path)
    ((everywhere, *_),) = tiny_model.plain(tmp_path, [LONG])
    assert abs(everywhere - found[0][0]) > 1e-4


@pytest.mark.parametrize("kind", ["modernbert", "bert", "xlm-roberta"])
@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_batches_change_probabilities_by_rounding_only(
    tmp_path: Path, kind: str, dtype: str, rounding: float
) -> None:
    folder = tiny_model.save(tmp_path, kind=kind)
    alone = probabilities(load(folder, dtype=dtype, max_tokens_per_batch=1), TEXTS)
    together = probabilities(load(folder, dtype=dtype, max_tokens_per_batch=2_000), TEXTS)
    difference = (torch.tensor(alone) - torch.tensor(together)).abs().max().item()
    assert difference <= rounding, difference


def test_one_label_of_two_is_a_softmax_unless_the_configuration_says_otherwise(
    tmp_path: Path,
) -> None:
    folder = tiny_model.save(
        tmp_path, kind="modernbert", labels=("neutral", "toxic"), problem_type=SINGLE
    )
    keys = {"labels": {"toxic": "prob_toxic"}}
    exclusive = tiny_model.plain(folder, TEXTS[:5], softmax=True)
    assert probabilities(load(folder, **keys), TEXTS[:5]) == [
        [pytest.approx(row[1], abs=1e-5)] for row in exclusive
    ]
    own = tiny_model.plain(folder, TEXTS[:5])
    assert probabilities(load(folder, **keys, multi_label=True), TEXTS[:5]) == [
        [pytest.approx(row[1], abs=1e-5)] for row in own
    ]
