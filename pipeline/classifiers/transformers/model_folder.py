"""Check and describe a saved sequence classifier without torch, which login nodes may not have."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import files, limits, strict_json
from pipeline.model import JsonObject

# The files that decide a label. Weights must be safetensors: a pickle (pytorch_model.bin) is a
# program that runs when it is loaded.
DECIDING = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
_WEIGHTS, _WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_MULTI, _SINGLE, _REGRESSION = (
    "multi_label_classification",
    "single_label_classification",
    "regression",
)


class BadModel(Exception):
    """Why a folder is not a usable sequence classifier; the message does not name the folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What the labels of a model are."""

    labels: tuple[str, ...]
    """Their names, in the order of the logits."""

    multi_label: bool
    """Whether a post may have several of them (sigmoid), or exactly one (softmax)."""


def describe(folder: Path, multi_label: bool | None = None) -> Description:
    """Check that all files are there, and return the model's labels.

    Args:
        folder: the folder that `save_pretrained` wrote.
        multi_label: overrides what `config.json` says, but makes no probabilities of a regression.
            If that says nothing either, a single label is multi-label and several exclude one
            another, as in transformers' pipeline.

    Raises:
        BadModel: the folder is not a usable sequence classifier.
        OSError: a file cannot be read.
    """
    config = _json(folder / "config.json")
    _check_weights(folder)
    _check_tokenizer(folder)
    labels = _labels(config)
    kind = config.get("problem_type")
    if kind == _REGRESSION:  # neither sigmoid nor softmax makes a probability of its outputs
        raise BadModel(
            "its config.json says that it is a regression: its outputs are not probabilities"
        )
    if multi_label is None:
        if kind not in (None, _MULTI, _SINGLE):
            raise BadModel(f"its config.json has the unknown problem_type {kind!r}")
        multi_label = kind == _MULTI or (kind is None and len(labels) == 1)
    if len(labels) == 1 and not multi_label:
        raise BadModel(
            "it has a single label, whose probability is always 1.0 without an alternative"
        )
    return Description(labels=labels, multi_label=multi_label)


def fingerprint(folder: Path) -> str:
    """Return 64 hex digits over the names and contents of the files that decide a label.

    Every byte of the weights counts: two stages of one training have the same configuration, and a
    head that was trained alone differs in the last kilobyte only. A gigabyte takes a second or two.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    names = {path.name for pattern in DECIDING for path in folder.glob(pattern)}
    for name in sorted(names):
        digest.update(f"{name} {files.sha256_of(folder / name)}\n".encode())
    return digest.hexdigest()


def _check_weights(folder: Path) -> None:
    if (folder / _WEIGHTS).is_file():
        return
    if (folder / _WEIGHTS_INDEX).is_file():
        parts = _json(folder / _WEIGHTS_INDEX).get("weight_map")
        if not isinstance(parts, dict) or not parts:
            raise BadModel(f"its {_WEIGHTS_INDEX} names no files")
        missing = sorted({str(part) for part in parts.values() if not (folder / part).is_file()})
        if missing:
            raise BadModel(f"it has no {', '.join(missing)}")
        return
    raise BadModel(
        f"it has no {_WEIGHTS}; weights that are a pickle (pytorch_model.bin) can run any program "
        "and are never loaded: save the model with save_pretrained, which writes safetensors"
    )


def _check_tokenizer(folder: Path) -> None:
    """Check its files: without them, transformers 5 silently makes a tokenizer without words."""
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZERS):
        raise BadModel(f"it has no tokenizer ({', '.join(_TOKENIZERS[:-1])} or a *.model)")


def _labels(config: JsonObject) -> tuple[str, ...]:
    """Read the labels. Transformers does not write its two default names to config.json."""
    id2label = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    if not isinstance(id2label, dict) or not id2label:
        raise BadModel("its config.json names no labels (id2label)")
    try:
        labels = [str(id2label[str(number)]) for number in range(len(id2label))]
    except KeyError as missing:
        raise BadModel(f"id2label in its config.json has no number {missing.args[0]}") from None
    if len(set(labels)) < len(labels):
        raise BadModel(f"id2label in its config.json has a label twice: {', '.join(labels)}")
    return tuple(labels)


def _json(path: Path) -> JsonObject:
    try:
        content = limits.read_file(path, limits.RECORD_BYTES)
        document = strict_json.parse(content.decode()).value
    except FileNotFoundError:
        raise BadModel(f"it has no {path.name}") from None
    except ValueError:  # InvalidJson, or not UTF-8
        raise BadModel(f"its {path.name} is not JSON") from None
    if not isinstance(document, dict):
        raise BadModel(f"its {path.name} is not an object")
    return document


def shown(labels: Sequence[str]) -> str:
    """Return the labels for a message, at most 20 of them: some models have a thousand."""
    listed = ", ".join(labels[:20])
    return listed + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
