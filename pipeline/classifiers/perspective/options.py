"""The keys of `classifier: {type: perspective}`."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import force_setattr

from pipeline.classifiers.options import (
    DEFAULT_QUOTA_FOLDER,
    AllowInsecure,
    ApiKeyFile,
    EnvironmentVariable,
    Options,
    QuotaFolder,
    without_slash,
)
from pipeline.classifiers.perspective.columns import ATTRIBUTES
from pipeline.config.keys import Duration, Positive, Text, Wrong, key, label_key, one_of

API_KEY_ENV = "PERSPECTIVE_API_KEY"


class PerspectiveOptions(Options, frozen=True, kw_only=True):
    """The Perspective API, or a replacement that keeps its JSON: it ends on 31 December 2026."""

    base_url: Annotated[
        Text, label_key("Address of the service, or of a drop-in that keeps its JSON.")
    ] = "https://commentanalyzer.googleapis.com"
    attributes: Annotated[
        tuple[Annotated[str, one_of(ATTRIBUTES)], ...],
        Meta(min_length=1),
        label_key("Attributes to request: a column each, and together one request per post."),
    ] = ("TOXICITY",)
    languages: Annotated[
        tuple[str, ...],
        label_key(
            "Languages of the posts. An attribute that the service does not have in them is null, "
            "and the column `attributes_not_supported` names it."
        ),
    ] = ("en",)
    # None, which only a manifest may hold, means no limit.
    requests_per_minute: Annotated[
        Positive | None,
        key(
            "Quota of your whole Google project. All tasks of all runs that use the API key share "
            "it through `quota_folder`."
        ),
    ] = 60
    quota_folder: QuotaFolder = DEFAULT_QUOTA_FOLDER
    max_in_flight: Annotated[Positive, key("Requests of one task at once.")] = 64
    timeout_seconds: Annotated[
        Duration, key("How long to wait for one response.", unit="seconds")
    ] = 30.0
    span_scores: Annotated[
        bool,
        label_key(
            "Also request a score for each sentence: columns `prob_…_spans`, JSON "
            "`[[begin, end, score], …]`, with offsets in UTF-16 code units and the end excluded.",
            omit_default=True,
        ),
    ] = False
    api_key_env: Annotated[
        EnvironmentVariable | None,
        key(
            "Environment variable that holds the API key.",
            default=f"`{API_KEY_ENV}`, unless `api_key_file` is given",
            omit_default=True,
            secret=True,
        ),
    ] = None
    api_key_file: ApiKeyFile = None
    allow_insecure: AllowInsecure = False

    def __post_init__(self) -> None:
        """Reject an attribute that is given twice, and take the slash off the address."""
        if len(set(self.attributes)) < len(self.attributes):
            raise Wrong("attributes", "should name each attribute once")
        force_setattr(self, "base_url", without_slash(self.base_url))
