"""Declare the keys of a classifier that asks a model behind an OpenAI-compatible endpoint."""

from collections.abc import Mapping
from typing import Annotated, Self, TypeVar

from msgspec import Meta
from msgspec.structs import force_setattr, replace

from pipeline.classifiers.llm.request_fields import RESERVED, check_fields
from pipeline.classifiers.llm.server.options import Server
from pipeline.classifiers.options import (
    DEFAULT_QUOTA_FOLDER,
    AllowInsecure,
    ApiKeyFile,
    OptionalApiKeyVariable,
    Options,
    QuotaFolder,
    SharedQuota,
    check_transport,
    without_slash,
)
from pipeline.config.input_files import InputFiles
from pipeline.config.keys import Duration, Positive, Text, Wrong, expects, key, label_key
from pipeline.config.secret import check_key, find_key
from pipeline.service.quota.shared_rate_limiter import find_quota_folder
from pipeline.usage import Price

# In the manifest, what changes labels of `server` stands beside the rest of it.
_COMMAND = "server_command"

FieldName = Annotated[str, expects("text (quote it)")]
JsonValue = Annotated[
    object, expects("a value of JSON: text, a finite number, true, false, null, a list or mapping")
]
RequestFields = Annotated[
    Mapping[FieldName, JsonValue],
    label_key(
        "Further fields of every request, as the server gets them, such as `{seed: 7}` or "
        "`{chat_template_kwargs: {enable_thinking: false}}`.",
        default="none",
        omit_default=True,
    ),
]
Temperature = Annotated[
    float | None,
    label_key("Sampling temperature.", null="the model's own, because none is sent"),
]

DEFAULT_TOP_LOGPROBS = 20
TopLogprobs = Annotated[
    Annotated[int, Meta(ge=2)] | None,
    label_key(
        "How many alternatives per token `scores` requests.",
        default=f"{DEFAULT_TOP_LOGPROBS}, with `scores`",
        omit_default=True,
    ),
]

# These stand behind a classifier's own keys in a manifest.
_SHARED_LAST = (
    "max_in_flight",
    "requests_per_minute",
    "quota_folder",
    "timeout_seconds",
    "price",
    "api_key_env",
    "api_key_file",
    "allow_insecure",
)

EndpointOptionsT = TypeVar("EndpointOptionsT", bound="EndpointOptions")


class EndpointOptions(Options, frozen=True, kw_only=True):
    """Where the model is, and how many requests it may get."""

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
    max_in_flight: Annotated[Positive, key("Requests of one task at once.")] = 32
    requests_per_minute: SharedQuota = None
    quota_folder: QuotaFolder = DEFAULT_QUOTA_FOLDER
    timeout_seconds: Annotated[
        Duration, key("How long to wait for one response.", unit="seconds")
    ] = 120.0
    price: Annotated[
        Price | None,
        key("What tokens cost: then `submit` and `status` estimate the cost.", default="unknown"),
    ] = None
    api_key_env: OptionalApiKeyVariable = None
    api_key_file: ApiKeyFile = None
    allow_insecure: AllowInsecure = False

    def __post_init__(self) -> None:
        """Reject keys that contradict one another, and take the slash off the address."""
        self._check_server()
        check_fields(self.request_fields, self.reserved_fields)

    @property
    def request_fields(self) -> Mapping[str, object]:
        """What the configuration adds to every request."""
        return {}

    @property
    def reserved_fields(self) -> Mapping[str, str]:
        """The fields that it must not add, and why."""
        return RESERVED

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
        """Return what the manifest keeps: what changes labels of `server` beside the rest.

        The classifier's own keys follow the model's name.
        """
        values = super().to_json()
        last = (*_SHARED_LAST, *Options.__struct_fields__)
        values |= {name: values.pop(name) for name in last if name in values}
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


def find_places(options: EndpointOptionsT, inputs: InputFiles) -> EndpointOptionsT:
    """Return options with the API key and the quota folder found; problems go to `inputs`."""
    env, file = find_key(
        env=options.api_key_env, file=options.api_key_file, default_env=None, inputs=inputs
    )
    if options.base_url and (env or file):
        check_transport(options.base_url, allow_insecure=options.allow_insecure, inputs=inputs)
    quota_folder = options.quota_folder
    if options.requests_per_minute is not None:
        quota_folder = find_quota_folder(quota_folder, inputs)
    return replace(options, quota_folder=quota_folder, api_key_env=env, api_key_file=file)


def check_places(options: EndpointOptions, inputs: InputFiles) -> None:
    """Look for the API key and the quota folder again; problems go to `inputs`."""
    check_key(options.api_key_env, options.api_key_file, inputs)
    if options.requests_per_minute is not None:
        find_quota_folder(options.quota_folder, inputs)
