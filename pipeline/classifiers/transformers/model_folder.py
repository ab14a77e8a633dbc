"""A saved sequence classifier as its files tell: read without torch, which login nodes may lack."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import files
from pipeline.model import JsonObject

# What decides a label. Weights as safetensors only: a pickle (pytorch_model.bin) is a program,
# which runs when it is loaded.
DECIDING = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
_WEIGHTS, _WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_MULTI, _SINGLE, _REGRESSION = (
    "multi_label_classification",
    "single_label_classification",
    "regression",
)


class BadModel(Exception):
    """What makes a folder no sequence classifier that can be used; the folder is not named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """`labels` in the order of the logits; `multi_label`: each is a question of its own (sigmoid),
    or they exclude one another (softmax)."""

    labels: tuple[str, ...]
    multi_label: bool


def describe(folder: Path, multi_label: bool | None = None) -> Description:
    """Checks that all files are there. Raises BadModel, and OSError where one cannot be read.

    Args:
        multi_label: overrules what `config.json` says. Where that says nothing, one label is a
            question of its own and several exclude one another, as transformers' pipeline has it.
    """
    config = _json(folder / "config.json")
    _check_weights(folder)
    _check_tokenizer(folder)
    labels = _labels(config)
    kind = config.get("problem_type")
    if multi_label is None:
        if kind == _REGRESSION:
            raise BadModel(
                "its config.json says that it is a regression: what it gives is no probability"
            )
        if kind not in (None, _MULTI, _SINGLE):
            raise BadModel(f"its config.json has the problem_type {kind!r}, which is unknown")
        multi_label = kind == _MULTI or (kind is None and len(labels) == 1)
    if len(labels) == 1 and not multi_label:
        raise BadModel("it has one label, which without an alternative is always sure (1.0)")
    return Description(labels=labels, multi_label=multi_label)


def fingerprint(folder: Path) -> str:
    """64 hex digits over the files that decide a label, their names included.

    Of the weights too, every byte: two stages of one training have the same configuration, and a
    head that was trained alone differs in the last kilobyte only. A gigabyte takes a second or two.
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
        "and are never loaded: save_pretrained writes the others"
    )


def _check_tokenizer(folder: Path) -> None:
    """Without its files, transformers 5 makes a tokenizer that knows no word, and says nothing."""
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZERS):
        raise BadModel(f"it has no tokenizer ({', '.join(_TOKENIZERS[:-1])} or a *.model)")


def _labels(config: JsonObject) -> tuple[str, ...]:
    """Two of the names that transformers itself gives are not written by its save_pretrained."""
    given = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    if not isinstance(given, dict) or not given:
        raise BadModel("its config.json names no labels (id2label)")
    try:
        labels = [str(given[str(number)]) for number in range(len(given))]
    except KeyError as missing:
        raise BadModel(f"id2label in its config.json has no number {missing.args[0]}") from None
    if len(set(labels)) < len(labels):
        raise BadModel(f"id2label in its config.json has a label twice: {', '.join(labels)}")
    return tuple(labels)


def _json(path: Path) -> JsonObject:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadModel(f"it has no {path.name}") from None
    except ValueError:
        raise BadModel(f"its {path.name} is not JSON") from None
    if not isinstance(document, dict):
        raise BadModel(f"its {path.name} is not an object")
    return document


def shown(labels: Sequence[str]) -> str:
    """For messages: some models have a thousand."""
    listed = ", ".join(labels[:20])
    return listed + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
