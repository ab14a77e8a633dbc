"""Count what answers cost: the columns of kind `count`, and an LLM's tokens and their price.

A server may report no usage, or nonsense: the cost is unknown then, never 0. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, ValidationError
from msgspec.structs import force_setattr

from pipeline.config.keys import Section, expects, key
from pipeline.model import KIND_TYPES, Column, ColumnKind

PROMPT, COMPLETION = "llm_prompt_tokens", "llm_completion_tokens"
# The prompt tokens that the server had in its prefix cache. Commercial servers charge a tenth to a
# half for them, and our prompts are written for that cache: the post comes last.
CACHED = "llm_cached_tokens"
TOKENS = (PROMPT, COMPLETION, CACHED)
COLUMNS = tuple(Column(name, ColumnKind.COUNT) for name in TOKENS)
# No context is that long: a larger number does not count the tokens of one reply.
_LARGEST_OF_A_REPLY = 100_000_000

Amount = Annotated[float, Meta(ge=0)]
Currency = Annotated[str, Meta(pattern=r"^[A-Za-z]{3}$(?!\n)"), expects("three letters")]

Tokens = Mapping[str, int]


class Price(Section, frozen=True, kw_only=True):
    """What a million tokens cost. After the check, `cached` is set and `currency` in capitals."""

    prompt: Annotated[Amount, key("Price of a million prompt tokens.")]
    completion: Annotated[Amount, key("Price of a million completion tokens.")]
    cached: Annotated[
        Amount | None,
        key("Price of a million prompt tokens that the server had cached.", default="`prompt`"),
    ] = None
    currency: Annotated[Currency, key("Currency of the prices.")] = "USD"

    def __post_init__(self) -> None:
        """Fill in what a server without a discount for cached tokens bills for them."""
        if self.cached is None:
            force_setattr(self, "cached", self.prompt)
        force_setattr(self, "currency", self.currency.upper())


class CostOptions(Struct, frozen=True, kw_only=True):
    """What any classifier's options may say about the cost of its answers."""

    price: Price | None = None
    requests_per_minute: int | None = None
    posts_per_prompt: int = 1
    posts_per_request: int = 1
    questions: tuple[object, ...] = ()

    @property
    def posts_together(self) -> int:
        """Return how many posts a request is about, at most."""
        return max(self.posts_per_prompt, self.posts_per_request)

    @property
    def requests_per_post(self) -> int:
        """Return how many requests a post needs: one, or one for each question."""
        return max(1, len(self.questions))


def cost_options(classifier: Mapping[str, object]) -> CostOptions:
    """Return what frozen options say about cost.

    Nothing where a classifier of another package uses these keys for something else.
    """
    try:
        return msgspec.convert(classifier, CostOptions)
    except ValidationError:
        return CostOptions()


class UsedTokens(msgspec.Struct, frozen=True):
    """The tokens that several posts have used together."""

    posts: int
    sums: Tokens
    """By column."""


def reply_tokens(body: Any) -> dict[str, int]:
    """Return the tokens of one reply by column, from its `usage` in OpenAI's format.

    What is missing or is not a count is left out. vLLM and SGLang report cached tokens only if they
    were started with the option for it.
    """
    usage = _as_mapping(_as_mapping(body).get("usage"))
    counts = {
        PROMPT: _count(usage.get("prompt_tokens")),
        COMPLETION: _count(usage.get("completion_tokens")),
        CACHED: _count(_as_mapping(usage.get("prompt_tokens_details")).get("cached_tokens")),
    }
    tokens = {name: value for name, value in counts.items() if value is not None}
    if tokens.get(CACHED, 0) > tokens.get(PROMPT, 0):
        del tokens[CACHED]
    return tokens


def sum_tokens(replies: Iterable[Tokens]) -> dict[str, int]:
    """Sum the tokens of all replies that were paid for one answer, by column.

    A sum is left out where one of its parts is unknown, and all are where there was no reply.
    """
    parts = list(replies)
    known = [name for name in TOKENS if parts and all(name in part for part in parts)]
    sums = {name: sum(part[name] for part in parts) for name in known}
    limit = KIND_TYPES[ColumnKind.COUNT].limit
    return {name: total for name, total in sums.items() if total < limit}


def share_of_tokens(tokens: Tokens, *, posts: int, nth: int) -> dict[str, int]:
    """Return the share of one post in the tokens of a prompt with several posts.

    Shares are equal, but for a remainder that the first posts bear; together they are exact.

    Args:
        tokens: of the whole prompt.
        posts: how many posts it held.
        nth: which of them, from 0.
    """
    return {name: total // posts + (nth < total % posts) for name, total in tokens.items()}


def count_columns(columns: Iterable[Column]) -> tuple[str, ...]:
    """Return the names of the columns that count what an answer cost; they are no labels."""
    return tuple(column.name for column in columns if column.kind == ColumnKind.COUNT)


def rates_per_minute(
    now: Mapping[str, int], before: Mapping[str, int], seconds: float
) -> dict[str, float]:
    """Return how fast sums have grown in a number of seconds; empty where that is 0."""
    if seconds <= 0:
        return {}
    return {name: round(60 * (now[name] - before.get(name, 0)) / seconds, 1) for name in now}


def read_counts(values: Any) -> dict[str, int]:
    """Read sums from JSON that another process wrote; what is not a count is left out."""
    return {
        name: value
        for name, value in _as_mapping(values).items()
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0
    }


def _count(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_OF_A_REPLY:
        return value
    return None


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
