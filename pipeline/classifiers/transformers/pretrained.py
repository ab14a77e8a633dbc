"""Load a saved model and its tokenizer, and reject an unreliable one: the door to transformers."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from pipeline.classifiers.transformers.model_folder import BadModel
from pipeline.system import out_of_memory

# Transformers gives a tokenizer a larger number where nobody said how much its model reads.
_NO_LIMIT = 1_000_000


def load_pretrained(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return the tokenizer and the model, on the CPU. No code of the model's authors is run.

    Raises:
        BadModel: transformers cannot load it, or it was never trained to classify.
        OSError: a file cannot be read.
    """
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            dtype=dtype,
        )
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError),
        SafetensorError,
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk or the file system failed: the model may be fine
        if out_of_memory.is_cause_of(error):
            raise
        problem = str(error).strip().partition("\n")[0]
        raise BadModel(f"transformers cannot load it: {problem}") from error
    # Transformers fills these weights with random numbers and only warns.
    untrained = sorted(info["missing_keys"])
    if untrained:
        raise BadModel(
            f"it is not a trained classifier: it has no weights for {', '.join(untrained[:4])}"
        )
    return tokenizer, model


def check_tokenizer(tokenizer: Any, model: Any) -> None:
    """Check that the tokenizer can pad, and that it belongs to the model.

    Raises:
        BadModel: it does not.
    """
    if tokenizer.pad_token_id is None:
        raise BadModel("its tokenizer has no padding token")
    embedded = model.get_input_embeddings().num_embeddings
    # A model's embedding table may have a few more rows, to make its size a round number.
    if not embedded / 2 <= len(tokenizer) <= embedded:
        raise BadModel(
            f"its tokenizer has {len(tokenizer)} tokens and the model {embedded}: they do not "
            "belong together"
        )


def max_length(tokenizer: Any, model: Any, configured: int | None) -> int:
    """Return how many tokens of a post the model reads.

    Args:
        tokenizer: the model's tokenizer, which may know the limit.
        model: the model, whose position embeddings may set the limit.
        configured: `classifier.max_length`; None for as many as the model can.

    Raises:
        BadModel: the configured length is more than the model can read, or nobody says how many.
    """
    limits = [tokenizer.model_max_length, *_positions(model)]
    known = [limit for limit in limits if isinstance(limit, int) and limit < _NO_LIMIT]
    if configured is not None and known and configured > min(known):
        raise BadModel(f"it reads at most {min(known)} tokens: lower classifier.max_length")
    if configured is None and not known:
        raise BadModel("it does not say how many tokens it reads: set classifier.max_length")
    return min(known) if configured is None else configured


def _positions(model: Any) -> list[int]:
    """Return how many positions the model has; RoBERTa's first ones are never a token's."""
    tables = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding)
    ]
    return tables or [getattr(model.config, "max_position_embeddings", _NO_LIMIT)]
