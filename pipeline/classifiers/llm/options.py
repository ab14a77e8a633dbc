"""Declare the keys of `classifier: {type: llm}`."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, field
from msgspec.structs import force_setattr

from pipeline.classifiers.llm.endpoint.options import (
    DEFAULT_TOP_LOGPROBS,
    EndpointOptions,
    RequestFields,
    Temperature,
    TopLogprobs,
)
from pipeline.classifiers.llm.labels import Label
from pipeline.classifiers.llm.output_modes import AUTO, MODES
from pipeline.classifiers.llm.probabilities import check_scores
from pipeline.config.keys import Positive, Text, Wrong, key, label_key, one_of

# The lab's own small test: accuracy .98 with 20 posts in a prompt, .64 with 25, .31 with 30.
MOST_POSTS_PER_PROMPT = 20


class LlmOptions(EndpointOptions, frozen=True, kw_only=True):
    """Any OpenAI-compatible chat endpoint, or a server that each task starts for itself."""

    prompt: Annotated[
        Text, label_key("File that holds the prompt. Its text counts, which the run keeps.")
    ]
    allow_placeholders: Annotated[
        bool,
        key(
            "Send what looks like a placeholder (`{text}`) in the prompt or in a label unchanged, "
            "instead of rejecting it.",
            omit_default=True,
        ),
    ] = False
    labels: Annotated[
        tuple[Label, ...],
        Meta(min_length=1),
        label_key("The labels that the model answers with, each in a column of its own."),
    ]
    scores: Annotated[
        bool,
        label_key(
            "Also record how probable each label was, where the server gives logprobs: columns "
            "`<bool>_prob` (of true), `<choice>_prob` (of the chosen value) and `<choice>_probs` "
            "(of each value, as JSON text).",
            omit_default=True,
        ),
    ] = False
    top_logprobs: TopLogprobs = None
    structured_output: Annotated[
        Annotated[str, one_of((AUTO, *MODES))],
        label_key(
            "How requests bind the server to the labels' JSON schema; `auto` is the strictest way "
            "that the server proves to honor."
        ),
    ] = AUTO
    temperature: Temperature = 0.0
    max_tokens: Annotated[Positive, label_key("Tokens of an answer about one post, at most.")] = 256
    posts_per_prompt: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_POSTS_PER_PROMPT)],
        label_key("Posts in one request; with many, labels get worse.", omit_default=True),
    ] = 1
    request: RequestFields = field(default_factory=dict)
    answer_tries: Annotated[
        Positive, label_key("Requests for one post until an answer is valid, at most.")
    ] = 3

    def __post_init__(self) -> None:
        """Reject keys that contradict one another, and take the slash off the address."""
        super().__post_init__()
        names = [label.name for label in self.labels]
        for name in names:
            if names.count(name) > 1:
                raise Wrong("labels", f"{name!r} is declared twice")
        if self.scores:
            check_scores(self.labels)
            force_setattr(self, "top_logprobs", self.top_logprobs or DEFAULT_TOP_LOGPROBS)
        elif self.top_logprobs is not None:
            raise Wrong("top_logprobs", "has no effect without scores: true")

    @property
    def request_fields(self) -> Mapping[str, object]:
        """What the configuration adds to every request."""
        return self.request
