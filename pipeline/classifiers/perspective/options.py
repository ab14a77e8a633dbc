"""Declare the keys of `classifier: {type: perspective}`."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
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
from pipeline.service.address import host_of, with_path

API_KEY_ENV = "PERSPECTIVE_API_KEY"
GOOGLE_HOST = "commentanalyzer.googleapis.com"
# The announced last day of Google's service; its drop-ins go on.
GOOGLE_ENDS_AT = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
DEFAULT_PATH = "/v1alpha1/comments:analyze"
DEFAULT_KEY_HEADER = "X-Goog-Api-Key"
AUTHORIZATION = "authorization"

# What HTTP allows in a header's name (RFC 9110, section 5.6.2).
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# These say how the request is sent, or reach a proxy instead of the service.
_OTHER_HEADERS = re.compile(
    r"host|connection|keep-alive|t(e|railer|ransfer-encoding)|upgrade|expect|date|via|range"
    r"|user-agent|accept(-.*)?|content-.*|proxy-.*|if-.*|sec-.*",
    re.IGNORECASE,
)


class PerspectiveOptions(Options, frozen=True, kw_only=True):
    """The Perspective API, or a replacement that keeps its JSON: it ends on December 31, 2026."""

    base_url: Annotated[
        Text, label_key("Address of the service, or of a drop-in that keeps its JSON.")
    ] = f"https://{GOOGLE_HOST}"
    path: Annotated[
        Text,
        label_key(
            "Path after `base_url` to which posts are sent, if the service uses another one.",
            omit_default=True,
        ),
    ] = DEFAULT_PATH
    key_header: Annotated[
        Text,
        key(
            "Header in which the API key is sent. `Authorization` holds `Bearer` and the key; any "
            "other header holds only the key.",
            omit_default=True,
        ),
    ] = DEFAULT_KEY_HEADER
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
        _check_path(self.path)
        _check_header(self.key_header)

    @property
    def url(self) -> str:
        """Where requests are sent."""
        return with_path(self.base_url, self.path)

    @property
    def model(self) -> str:
        """What labels, for the labels' column `model`."""
        if self.path == DEFAULT_PATH:
            return f"perspective v1alpha1 at {self.base_url}"
        return f"perspective at {self.url}"

    @property
    def ends_at(self) -> datetime | None:
        """When the service ends; None for a drop-in."""
        return GOOGLE_ENDS_AT if host_of(self.base_url) == GOOGLE_HOST else None

    def headers(self, api_key: str) -> Mapping[str, str]:
        """Return the header that carries the API key."""
        is_authorization = self.key_header.lower() == AUTHORIZATION
        return {self.key_header: f"Bearer {api_key}" if is_authorization else api_key}


def _check_path(path: str) -> None:
    if not path.startswith("/"):
        raise Wrong("path", f"should be a path that begins with /, not {path!r}")
    if re.search(r"[?#]", path):
        raise Wrong(
            "path",
            "should hold no ?query, because the run's folder keeps it: an API key is sent in the "
            "header that key_header names",
        )
    if not (path.isascii() and path.isprintable()) or re.search(r"[\s\\]", path):
        raise Wrong(
            "path", f"should hold visible ASCII characters only, and no backslash: {path!r}"
        )
    # HTTP clients resolve these, so another path would be sent than the one that is shown.
    if {".", ".."} & set(path.replace("%2e", ".").replace("%2E", ".").split("/")):
        raise Wrong("path", f"should have no . or .. between slashes: {path!r}")


def _check_header(name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise Wrong(
            "key_header",
            "should be the name of a header, such as X-Goog-Api-Key or Authorization: letters, "
            "digits and -, without a value",
        )
    if _OTHER_HEADERS.fullmatch(name):
        raise Wrong("key_header", f"cannot be {name}, which HTTP itself uses")
