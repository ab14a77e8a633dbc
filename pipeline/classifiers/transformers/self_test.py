"""Detect faults of a model that cause no error, but make every label wrong."""

from pipeline.classifiers.transformers.model_folder import BadModel
from pipeline.classifiers.transformers.sequence_model import (
    PendingScores,
    SequenceModel,
    Tokens,
)
from pipeline.errors import Cause, TaskError

# Two posts of different length, to see that padding changes nothing except by rounding.
_PROBES = ("The sun is out.", "The sun is out today, and nobody said that it would be.")
_ROUNDING = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.05}


def self_test(model: SequenceModel, labels: int) -> None:
    """Compute two short posts, alone and in one batch, and check the results.

    If the model's neighbors in a batch matter on the padding side that its tokenizer names, the
    other side is tried and kept: the tokenizers of decoders pad on the left, and some encoders have
    such a tokenizer and look at the first position.

    Args:
        model: the loaded model.
        labels: how many labels its configuration names.

    Raises:
        BadModel: the results are not usable probabilities.
        TaskError: the posts do not fit in the device's memory.
    """
    short, long = model.tokenize(_PROBES)
    alone = _compute(model, short)
    scores = alone.scores.shape[1]
    if scores != labels:
        raise BadModel(f"it gives {scores} scores for the {labels} labels of its config.json")
    (single,) = model.probabilities(alone)
    named = model.padding_side
    largest = {}
    for side in (named, *({"left", "right"} - {named})):
        model.padding_side = side
        padded, _ = model.probabilities(_compute(model, short, long))
        if single is None or padded is None:
            raise BadModel(f"its scores in {model.dtype} are not finite (NaN)")
        largest[side] = max(abs(a - b) for a, b in zip(single, padded, strict=True))
        if largest[side] <= _ROUNDING[model.dtype]:
            return
    raise BadModel(
        f"a longer post in the same batch changes its probabilities by {largest[named]:.3f}: its "
        "padding token or padding side is wrong"
    )


def _compute(model: SequenceModel, *posts: Tokens) -> PendingScores:
    """Start a batch. Raises TaskError if it does not fit in the device's memory."""
    scores = model.start(posts)
    if scores is None:
        raise TaskError(Cause.OUT_OF_MEMORY, f"two short posts do not fit {model.memory}")
    return scores
