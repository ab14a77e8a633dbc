"""Detect faults of a model that cause no error, but make every label wrong."""

from pipeline.classifiers.transformers.model_folder import BadModel
from pipeline.classifiers.transformers.sequence_model import SequenceModel
from pipeline.errors import Cause, TaskError

# Two posts of different length, to see that padding changes nothing except by rounding.
_PROBES = ("The sun is out.", "The sun is out today, and nobody said that it would be.")
_ROUNDING = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.05}


def self_test(model: SequenceModel, labels: int) -> None:
    """Compute two short posts, alone and in one batch, and check the results.

    Args:
        model: the loaded model.
        labels: how many labels its configuration names.

    Raises:
        BadModel: the results are not usable probabilities.
        TaskError: the posts do not fit in the device's memory.
    """
    short, long = model.tokenize(_PROBES)
    alone, together = model.start([short]), model.start([short, long])
    if alone is None or together is None:
        raise TaskError(Cause.OUT_OF_MEMORY, f"two short posts do not fit {model.memory}")
    scores = alone.scores.shape[1]
    if scores != labels:
        raise BadModel(f"it gives {scores} scores for the {labels} labels of its config.json")
    (single,), (padded, _) = model.probabilities(alone), model.probabilities(together)
    if single is None or padded is None:
        raise BadModel(f"its scores in {model.dtype} are not finite (NaN)")
    largest = max(abs(a - b) for a, b in zip(single, padded, strict=True))
    if largest > _ROUNDING[model.dtype]:
        raise BadModel(
            f"a longer post in the same batch changes its probabilities by {largest:.3f}: its "
            "padding token or padding side is wrong"
        )
