"""The keys of `classifier: {type: llm}`."""

from collections.abc import Mapping
from typing import Annotated, Self

from msgspec import Meta, field
from msgspec.structs import force_setattr

from pipeline.classifiers.llm.labels import Label
from pipeline.classifiers.llm.output_modes import AUTO, MODES
from pipeline.classifiers.llm.probabilities import check_scores
from pipeline.classifiers.llm.request_fields import check_fields
from pipeline.classifiers.llm.server.options import Server
from pipeline.classifiers.options import (
    DEFAULT_QUOTA_FOLDER,
    AllowInsecure,
    ApiKeyFile,
    EnvironmentVariable,
    Options,
    QuotaFolder,
    without_slash,
)
from pipeline.config.keys import Duration, Positive, Text, Wrong, expects, key, label_key, one_of
from pipeline.usage import Price

DEFAULT_TOP_LOGPROBS = 20
# The lab's own small test: accuracy .98 with 20 posts in a prompt, .64 with 25, .31 with 30.
MOST_POSTS_PER_PROMPT = 20

# In the manifest, what changes labels of `server` stands beside the rest of it.
_COMMAND = "server_command"

FieldName = Annotated[str, expects("text (quote it)")]
JsonValue = Annotated[
    object, expects("a value of JSON: text, a finite number, true, false, null, a list or mapping")
]


class LlmOptions(Options, frozen=True, kw_only=True):
    """Any OpenAI-compatible chat endpoint, or a server that each task starts for itself."""

    base_url: Annotated[
        Text | None,
        key(
            "Address of the server, such as `http://localhost:8000/v1`.",
            default="none: give it or `server`",
            omit_default=True,
        ),
    ] = None
    server: Annotated[
        Server | None,
        key(
            "A server that each task starts on its node, in place of `base_url`.",
            default="none",
            omit_default=True,
        ),
    ] = None
    model: Annotated[Text, label_key("Name of the model, as the server knows it.")]
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
    top_logprobs: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        label_key(
            "How many alternatives per token `scores` requests.",
            default=f"{DEFAULT_TOP_LOGPROBS}, with `scores`",
            omit_default=True,
        ),
    ] = None
    structured_output: Annotated[
        Annotated[str, one_of((AUTO, *MODES))],
        label_key(
            "How requests bind the server to the labels' JSON schema; `auto` is the strictest way "
            "that the server proves to honor."
        ),
    ] = AUTO
    temperature: Annotated[
        float | None,
        label_key("Sampling temperature.", null="the model's own, because none is sent"),
    ] = 0.0
    max_tokens: Annotated[Positive, label_key("Tokens of an answer about one post, at most.")] = 256
    posts_per_prompt: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_POSTS_PER_PROMPT)],
        label_key("Posts in one request; with many, labels get worse.", omit_default=True),
    ] = 1
    request: Annotated[
        Mapping[FieldName, JsonValue],
        label_key(
            "Further fields of every request, as the server gets them, such as `{seed: 7}` or "
            "`{chat_template_kwargs: {enable_thinking: false}}`.",
            default="none",
            omit_default=True,
        ),
    ] = field(default_factory=dict)
    answer_tries: Annotated[
        Positive, label_key("Requests for one post until an answer is valid, at most.")
    ] = 3
    max_in_flight: Annotated[Positive, key("Requests of one task at once.")] = 32
    requests_per_minute: Annotated[
        Positive | None,
        key(
            "Quota that all tasks of all runs with this `base_url` and API key share through "
            "`quota_folder`.",
            default="no limit",
        ),
    ] = None
    quota_folder: QuotaFolder = DEFAULT_QUOTA_FOLDER
    timeout_seconds: Annotated[
        Duration, key("How long to wait for one response.", unit="seconds")
    ] = 120.0
    price: Annotated[
        Price | None,
        key("What tokens cost: then `submit` and `status` estimate the cost.", default="unknown"),
    ] = None
    api_key_env: Annotated[
        EnvironmentVariable | None,
        key(
            "Environment variable that holds the API key.",
            default="none",
            omit_default=True,
            secret=True,
        ),
    ] = None
    api_key_file: ApiKeyFile = None
    allow_insecure: AllowInsecure = False

    def __post_init__(self) -> None:
        """Reject keys that contradict one another, and take the slash off the address."""
        self._check_server()
        check_fields(self.request)
        names = [label.name for label in self.labels]
        for name in names:
            if names.count(name) > 1:
                raise Wrong("labels", f"{name!r} is declared twice")
        if self.scores:
            check_scores(self.labels)
            force_setattr(self, "top_logprobs", self.top_logprobs or DEFAULT_TOP_LOGPROBS)
        elif self.top_logprobs is not None:
            raise Wrong("top_logprobs", "has no effect without scores: true")

    def _check_server(self) -> None:
        if self.base_url is not None:
            if self.server:
                raise Wrong("base_url", "give either base_url or server, not both")
            force_setattr(self, "base_url", without_slash(self.base_url))
        elif not self.server:
            raise Wrong("base_url", "is missing; or give server, which each task starts for itself")
        if self.server and self.requests_per_minute is not None:
            raise Wrong("requests_per_minute", "a server of the task's own has no quota")

    @property
    def server_name(self) -> str:
        """What others may remember the server by: its address, or the command that starts it."""
        return self.base_url or " ".join(self.server.command if self.server else ())

    def to_json(self) -> dict[str, object]:
        """Return what the manifest keeps: what changes labels of `server` beside the rest."""
        values = super().to_json()
        if not self.server:
            return values
        rest = self.server.to_json()
        values.pop("server")
        return {_COMMAND: rest.pop("command"), "server": rest, **values}

    @classmethod
    def from_manifest(cls, values: Mapping[str, object], *, source: str) -> Self:
        """Return the options that `to_json` wrote."""
        rest = values.get("server")
        if _COMMAND in values and isinstance(rest, Mapping):
            others = {name: value for name, value in values.items() if name != _COMMAND}
            values = {**others, "server": {**rest, "command": values[_COMMAND]}}
        return super().from_manifest(values, source=source)
