"""What an LLM's answers cost in tokens, as the server reports it, and what a token costs.

A server may report nothing, and what it reports may be nonsense: unknown then, never 0. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, ValidationError
from msgspec.structs import force_setattr

from pipeline.config.keys import Section, expects, key
from pipeline.model import KIND_TYPES, Column, ColumnKind

PROMPT, COMPLETION, CACHED = "llm_prompt_tokens", "llm_completion_tokens", "llm_cached_tokens"
# Cached: of the prompt tokens, those that the server had in its prefix cache. Commercial ones bill
# them at a half to a tenth, and our prompts are made for that cache: the post comes last.
_NAMES = (PROMPT, COMPLETION, CACHED)
COLUMNS = tuple(Column(name, ColumnKind.COUNT) for name in _NAMES)
# No context is that long: what is more is no count of one reply's tokens.
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


def cost_options(classifier: Mapping[str, object]) -> CostOptions:
    """Return what frozen options say about cost; nothing where another package means other things
    by these keys."""
    try:
        return msgspec.convert(classifier, CostOptions)
    except ValidationError:
        return CostOptions()


@dataclass(frozen=True, slots=True)
class UsedTokens:
    """What so many posts have used together, by column."""

    posts: int
    sums: Tokens


def used(body: Any) -> dict[str, int]:
    """By column, out of one reply's `usage` (OpenAI's form); what is missing or no count is left
    out. vLLM and SGLang report cached tokens only where they are started to do so."""
    usage = _mapping(_mapping(body).get("usage"))
    found = {
        PROMPT: _count(usage.get("prompt_tokens")),
        COMPLETION: _count(usage.get("completion_tokens")),
        CACHED: _count(_mapping(usage.get("prompt_tokens_details")).get("cached_tokens")),
    }
    tokens = {name: value for name, value in found.items() if value is not None}
    if tokens.get(CACHED, 0) > tokens.get(PROMPT, 0):
        del tokens[CACHED]
    return tokens


def summed(replies: Iterable[Tokens]) -> dict[str, int]:
    """Those of all replies that were paid for one answer. A sum of which a part is unknown is
    unknown, and none at all cost nobody knows what."""
    parts = list(replies)
    known = [name for name in _NAMES if parts and all(name in part for part in parts)]
    sums = {name: sum(part[name] for part in parts) for name in known}
    limit = KIND_TYPES[ColumnKind.COUNT].limit
    return {name: total for name, total in sums.items() if total < limit}


def share(tokens: Tokens, *, posts: int, nth: int) -> dict[str, int]:
    """The part that one of several posts, the nth from 0, has in what a prompt with all of them
    used: as equal as whole numbers are, the first ones have what is left over, and together they
    are exactly what was used."""
    return {name: total // posts + (nth < total % posts) for name, total in tokens.items()}


def _count(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_OF_A_REPLY:
        return value
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
