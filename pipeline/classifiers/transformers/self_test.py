"""What a model can be wrong in without an error: then every label would be."""

from pipeline.classifiers.transformers.model_folder import BadModel
from pipeline.classifiers.transformers.sequence_model import SequenceModel
from pipeline.errors import Cause, TaskError

# Two posts of unlike length, to see that padding changes nothing: by rounding at most.
_PROBES = ("The sun is out.", "The sun is out today, and nobody said that it would be.")
_ROUNDING = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.05}


def try_out(model: SequenceModel, labels: int) -> None:
    """Raises BadModel, or TaskError where two short posts are too much for the device."""
    short, long = model.tokenise(_PROBES)
    alone, together = model.start([short]), model.start([short, long])
    if alone is None or together is None:
        raise TaskError(Cause.OUT_OF_MEMORY, f"two short posts do not fit {model.memory}")
    given = alone.scores.shape[1]
    if given != labels:
        raise BadModel(f"it gives {given} numbers for the {labels} labels of its config.json")
    (single,), (padded, _) = model.probabilities(alone), model.probabilities(together)
    if single is None or padded is None:
        raise BadModel(f"what it gives in {model.dtype} is no number (NaN)")
    most = max(abs(a - b) for a, b in zip(single, padded, strict=True))
    if most > _ROUNDING[model.dtype]:
        raise BadModel(
            f"a longer post in the same batch changes its probabilities by {most:.3f}: its "
            "padding token or side is wrong"
        )
