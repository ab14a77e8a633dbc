"""Models that would give labels that nobody should use: refused, on the login node where its files
tell, else by the first task before it has labeled anything."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.transformers.classifier import TransformersClassifier
from pipeline.errors import Cause, InputError, TaskError
from tests.pipeline.classifiers.classifier_setup import frozen_options, options_of

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

import torch
from transformers import AutoModel

from tests.pipeline.classifiers.transformers import tiny_model
from tests.pipeline.classifiers.transformers.tiny_model import SINGLE, TOXIC

LISTED = ", ".join(TOXIC)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return tiny_model.save(tmp_path / "model")


def refused_here(folder: Path, **keys: Any) -> str:
    """On the login node: the message, without where."""
    with pytest.raises(InputError) as refused:
        options_of("transformers", {"model": str(folder), **keys})
    return str(refused.value).replace(str(folder), "FOLDER")


def refused_there(folder: Path, **keys: Any) -> str:
    """By the task: the message, without where."""
    options = options_of("transformers", {"model": str(folder), "dtype": "float32", **keys})
    with pytest.raises(TaskError) as refused:
        TransformersClassifier(options, TaskShare(parallel_tasks=1_000))
    assert refused.value.cause is Cause.REFUSED
    assert refused.value.stops_run
    before = f"the model {folder} cannot be used: "
    assert str(refused.value).startswith(before)
    return str(refused.value).removeprefix(before)


def edit(path: Path, **values: Any) -> None:
    document = json.loads(path.read_text())
    kept = {key: value for key, value in (document | values).items() if value is not None}
    path.write_text(json.dumps(kept))


def configuration(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **values)


def without(*names: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return act


def pickled(folder: Path) -> None:
    weights = tiny_model.model().state_dict()
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def half_sharded(folder: Path) -> None:
    """The first shard came, the second did not."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


PICKLE = (
    "it has no model.safetensors; weights that are a pickle (pytorch_model.bin) can run any "
    "program and are never loaded: save the model with save_pretrained, which writes safetensors"
)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (without("config.json"), "it has no config.json"),
        (lambda at: (at / "config.json").write_text("{"), "its config.json is not JSON"),
        (lambda at: (at / "config.json").write_text("[]"), "its config.json is not an object"),
        (without("model.safetensors"), PICKLE),
        (pickled, PICKLE),
        # transformers makes one that knows no word at all, without a warning.
        (
            without("tokenizer.json"),
            "it has no tokenizer (tokenizer.json, vocab.txt, vocab.json or a *.model)",
        ),
        (half_sharded, "it has no model-00002-of-00002.safetensors"),
        (configuration(id2label={}), "its config.json names no labels (id2label)"),
        (
            configuration(id2label={"0": "a", "2": "b"}),
            "id2label in its config.json has no number 1",
        ),
        (
            configuration(id2label={"0": "a", "1": "a"}),
            "id2label in its config.json has a label twice: a, a",
        ),
        (
            configuration(problem_type="regression"),
            "its config.json says that it is a regression: its outputs are not probabilities",
        ),
        (
            configuration(problem_type="ranking"),
            "its config.json has the unknown problem_type 'ranking'",
        ),
        (
            configuration(problem_type=SINGLE, id2label={"0": "toxic"}),
            "it has a single label, whose probability is always 1.0 without an alternative",
        ),
        (
            configuration(id2label={"0": "hate speech", "1": "Hate-Speech"}),
            "its labels do not give distinct column names: name them in classifier.labels "
            "(hate speech, Hate-Speech)",
        ),
        (
            configuration(id2label={"0": "有毒", "1": "fine"}),
            "its labels do not give distinct column names: name them in classifier.labels "
            "(有毒, fine)",
        ),
    ],
)
def test_what_a_folders_files_tell_is_refused_on_the_login_node(
    model_folder: Path, spoil: Callable[[Path], None], problem: str
) -> None:
    spoil(model_folder)
    message = f"run.yaml: classifier.model: FOLDER cannot be used: {problem}"
    assert refused_here(model_folder) == message


def test_labels_that_are_not_the_models_are_refused_with_those_that_are(model_folder: Path) -> None:
    about = f"it has {LISTED}. classifier.labels names the model's labels, each with its column"
    before = "run.yaml: classifier.model: FOLDER cannot be used: "
    assert refused_here(model_folder, labels={"spam": "prob_toxic"}) == (
        f"{before}it has no label 'spam': {about}"
    )
    keys = {"TOXIC": "prob_toxic", "threat": "prob_threat", "identity_attack": "prob_identity"}
    assert refused_here(model_folder, labels=keys) == (
        f"{before}it has no labels 'TOXIC' (did you mean 'toxic'?), 'identity_attack' (did you "
        f"mean 'identity_hate'?): {about}"
    )


def test_two_labels_that_nobody_named_are_called_as_transformers_calls_them(
    model_folder: Path,
) -> None:
    """save_pretrained leaves them out."""
    edit(model_folder / "config.json", id2label=None, label2id=None)
    keys = {"model": str(model_folder), "labels": {"LABEL_1": "prob_toxic"}}
    assert options_of("transformers", keys).labels == {"LABEL_1": "prob_toxic"}


COMMIT = "4d6c22e74ba2fdd26bc4f7238f50766b045a0d94"


def test_a_commit_on_the_hub_is_frozen_without_asking_anybody() -> None:
    keys = {"model": "unitary/toxic-bert", "revision": COMMIT, "labels": {"toxic": "prob_toxic"}}
    assert frozen_options({"type": "transformers", **keys}) == {
        "type": "transformers",
        "model": "unitary/toxic-bert",
        "revision": COMMIT,
        "labels": {"toxic": "prob_toxic"},
        "multi_label": None,
        "max_length": None,
        "dtype": "auto",
        "device": "auto",
        "max_tokens_per_batch": None,
    }


def test_no_configuration_makes_probabilities_of_a_regression(model_folder: Path) -> None:
    edit(model_folder / "config.json", problem_type="regression")
    assert "is a regression" in refused_here(model_folder, multi_label=True)


def test_a_model_without_a_trained_head_is_refused(model_folder: Path) -> None:
    """transformers gives it a random one, and a warning."""
    config = tiny_model.model().config
    AutoModel.from_config(config).save_pretrained(model_folder)
    assert refused_there(model_folder) == (
        "it is not a trained classifier: it has no weights for classifier.bias, classifier.weight"
    )


def test_weights_that_are_cut_off_are_refused(model_folder: Path) -> None:
    path = model_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert refused_there(model_folder).startswith("transformers cannot load it: ")


def test_a_head_of_another_size_than_the_labels_is_refused(model_folder: Path) -> None:
    edit(model_folder / "config.json", id2label={"0": "toxic", "1": "fine"}, label2id=None)
    assert refused_there(model_folder).startswith("transformers cannot load it: ")


def test_a_kind_that_this_transformers_does_not_know_is_refused(model_folder: Path) -> None:
    edit(model_folder / "config.json", model_type="brand-new", architectures=None)
    assert "brand-new" in refused_there(model_folder)


def test_a_model_that_brings_its_own_program_is_refused(model_folder: Path) -> None:
    (model_folder / "own.py").write_text("raise SystemExit('it was run')")
    edit(model_folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Own"})
    assert refused_there(model_folder).startswith("transformers cannot load it: ")


def test_weights_that_are_no_numbers_are_refused(model_folder: Path) -> None:
    broken = tiny_model.model()
    with torch.no_grad():
        broken.classifier.bias[3] = float("nan")
    broken.save_pretrained(model_folder)
    assert refused_there(model_folder) == "its scores in float32 are not finite (NaN)"


def test_a_tokenizer_of_another_model_is_refused(model_folder: Path) -> None:
    tiny_model.tokenizer(
        positions=64, words=(*tiny_model.VOCABULARY, "brand", "new")
    ).save_pretrained(model_folder)
    count = len(tiny_model.VOCABULARY)
    assert refused_there(model_folder) == (
        f"its tokenizer has {count + 2} tokens and the model {count}: they do not belong together"
    )
    tiny_model.tokenizer(positions=64, words=tiny_model.SPECIAL).save_pretrained(model_folder)
    assert refused_there(model_folder) == (
        f"its tokenizer has 5 tokens and the model {count}: they do not belong together"
    )


def test_a_vocabulary_that_no_library_here_can_read_is_refused(tmp_path: Path) -> None:
    """XLM-R's may come as a file of SentencePiece alone."""
    folder = tiny_model.save(tmp_path / "model", kind="xlm-roberta")
    (folder / "tokenizer.json").unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(b"no vocabulary")
    names = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    assert refused_there(folder).startswith("transformers cannot load it: ")


def test_a_tokenizer_that_cannot_pad_is_refused(model_folder: Path) -> None:
    tiny_model.tokenizer(positions=64, pad_token=None).save_pretrained(model_folder)
    assert refused_there(model_folder) == "its tokenizer has no padding token"


def test_padding_that_would_change_the_labels_is_refused(tmp_path: Path) -> None:
    """A decoder judges at the last token that is no padding, by its own idea of what padding is."""
    folder = tiny_model.save(tmp_path / "model", kind="gpt2", pad_token_id=1)
    problem = refused_there(folder)
    assert problem.startswith("a longer post in the same batch changes its probabilities by 0.")
    assert problem.endswith(": its padding token or padding side is wrong")


def test_more_tokens_than_the_model_reads_are_refused(model_folder: Path) -> None:
    assert refused_there(model_folder, max_length=65) == (
        "it reads at most 64 tokens: lower classifier.max_length"
    )
