"""Declare the keys of `classifier: {type: transformers}`."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, field

from pipeline.classifiers.options import Options
from pipeline.classifiers.transformers.device import DEVICES
from pipeline.classifiers.transformers.label_columns import check_columns
from pipeline.config.keys import Positive, Text, expects, key, label_key, one_of

DTYPES = ("auto", "float32", "bfloat16", "float16")
# A GPU wants much work at once; a core's caches do not.
MOST_TOKENS = {"cuda": 16_384, "cpu": 2_048}

QuotedText = Annotated[str, expects("text (quote it)")]


class TransformersOptions(Options, frozen=True, kw_only=True):
    """A sequence classifier that runs in the task itself, from the Hugging Face hub or a folder."""

    # Where a model's files are does not say which model it is: `revision` does.
    model: Annotated[
        Text, key("A folder, or a name on the Hugging Face hub, which also needs `revision`.")
    ]
    revision: Annotated[
        Text | None,
        label_key(
            "The commit of a model on the hub.", default="for a folder, the hash of its files"
        ),
    ] = None
    labels: Annotated[
        Mapping[QuotedText, QuotedText],
        label_key("The column of each label that is kept.", default="all, as `prob_<label>`"),
    ] = field(default_factory=dict)
    multi_label: Annotated[
        bool | None,
        label_key(
            "Whether labels have probabilities of their own; if not, they exclude one another, and "
            "the column `label` has the most probable one.",
            default="as the model says",
        ),
    ] = None
    max_length: Annotated[
        Annotated[int, Meta(ge=8)] | None,
        label_key(
            "Tokens of a post that the model reads; the column `was_truncated` marks longer posts.",
            default="as many as the model can",
        ),
    ] = None
    dtype: Annotated[
        Annotated[str, one_of(DTYPES)],
        label_key("Numbers to compute in; `auto` is bfloat16 on a GPU, and else float32."),
    ] = "auto"
    device: Annotated[
        Annotated[str, one_of(DEVICES)],
        key(
            "Where to compute; `auto` takes the GPU that Slurm allocated, if any.",
            synonyms=(("gpu", "cuda"),),
        ),
    ] = "auto"
    max_tokens_per_batch: Annotated[
        Positive | None,
        key(
            "Tokens to compute at once.",
            default=f"{MOST_TOKENS['cuda']:,} on a GPU, and else {MOST_TOKENS['cpu']:,}",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Reject columns that cannot be stored."""
        check_columns(self.labels)
