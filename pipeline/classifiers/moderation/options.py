"""Declare the keys of `classifier: {type: moderation}`."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import force_setattr

from pipeline.classifiers.moderation.arrangement import FEWEST_POSTS
from pipeline.classifiers.moderation.categories import (
    FLAGGED,
    MODEL,
    PROVIDERS,
    REQUESTS,
    column_of,
)
from pipeline.classifiers.options import (
    DEFAULT_QUOTA_FOLDER,
    AllowInsecure,
    ApiKeyFile,
    OptionalApiKeyVariable,
    Options,
    QuotaFolder,
    SharedQuota,
    without_slash,
)
from pipeline.config.keys import Duration, Positive, Text, Wrong, expects, key, label_key
from pipeline.model import RESERVED
from pipeline.service.address import with_path

MODERATIONS_PATH = "/moderations"
# A request holds each text twice and a fixed sentence, and so at most 31 texts. Neither provider
# documents a limit; older models of OpenAI's rejected more than 32.
MOST_POSTS_PER_REQUEST = 15
_NO_CATEGORIES = frozenset({*RESERVED, FLAGGED, MODEL, REQUESTS})

Categories = Annotated[
    Annotated[str, Meta(pattern=rf"^({'|'.join(PROVIDERS)})$(?!\n)")]
    | Annotated[tuple[Text, ...], Meta(min_length=1)],
    expects(f"{' or '.join(PROVIDERS)}, or a list of 1 or more texts"),
]


class ModerationOptions(Options, frozen=True, kw_only=True):
    """The moderation endpoint of OpenAI or Mistral, or of a service with the same JSON."""

    base_url: Annotated[
        Text,
        label_key("Address before `/moderations`, such as `https://api.openai.com/v1`."),
    ]
    model: Annotated[Text, label_key("Name of the model, as the service knows it.")]
    categories: Annotated[
        Categories,
        label_key(
            "Categories to record, each in a column: `openai` or `mistral` for all of that "
            "provider's, or a list of names as the service writes them."
        ),
    ]
    posts_per_request: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_POSTS_PER_REQUEST)],
        key(
            f"Posts in one request: 1, or {FEWEST_POSTS} or more. With more than one, each text is "
            "sent twice, which proves the order of the results.",
            omit_default=True,
        ),
    ] = 1
    requests_per_minute: SharedQuota = None
    quota_folder: QuotaFolder = DEFAULT_QUOTA_FOLDER
    max_in_flight: Annotated[Positive, key("Requests of one task at once.")] = 16
    timeout_seconds: Annotated[
        Duration, key("How long to wait for one response.", unit="seconds")
    ] = 60.0
    api_key_env: OptionalApiKeyVariable = None
    api_key_file: ApiKeyFile = None
    allow_insecure: AllowInsecure = False

    def __post_init__(self) -> None:
        """Reject categories that cannot be columns, and remove the slash after the address."""
        force_setattr(self, "base_url", without_slash(self.base_url))
        if 1 < self.posts_per_request < FEWEST_POSTS:
            raise Wrong(
                "posts_per_request",
                f"should be 1, or {FEWEST_POSTS} or more: fewer posts cannot prove their order",
            )
        columns: dict[str, str] = {}
        for name in self.category_names:
            column = column_of(name)
            if not column.isidentifier() or column in _NO_CATEGORIES:
                raise Wrong("categories", f"{name!r} cannot be the name of a column")
            if column in columns:
                raise Wrong(
                    "categories", f"{columns[column]!r} and {name!r} have the same column {column}"
                )
            columns[column] = name

    @property
    def category_names(self) -> tuple[str, ...]:
        """Return the categories as the service names them."""
        if isinstance(self.categories, str):
            return PROVIDERS[self.categories]
        return self.categories

    @property
    def url(self) -> str:
        """Return where requests are sent."""
        return with_path(self.base_url, MODERATIONS_PATH)
