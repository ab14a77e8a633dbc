"""What an LLM's answers cost in tokens, as the server reports it, and what a token costs.

A server may report nothing, and what it reports may be nonsense: unknown then, never 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.section import Section
from pipeline.model import KIND_TYPES, Column, ColumnKind, JsonObject

PROMPT, COMPLETION, CACHED = "llm_prompt_tokens", "llm_completion_tokens", "llm_cached_tokens"
# Cached: of the prompt tokens, those that the server had in its prefix cache. Commercial ones bill
# them at a half to a tenth, and our prompts are made for that cache: the post comes last.
_NAMES = (PROMPT, COMPLETION, CACHED)
COLUMNS = tuple(Column(name, ColumnKind.COUNT) for name in _NAMES)
# No context is that long: what is more is no count of one reply's tokens.
_LARGEST_OF_A_REPLY = 100_000_000
PRICES = ("prompt", "completion", "cached")

Tokens = Mapping[str, int]


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


def freeze_price(section: Section) -> JsonObject | None:
    """The key `price`: money for a million tokens; None: not given. Raises InputError."""
    if not section.has("price"):
        return None
    price = section.section("price")
    frozen: JsonObject = {
        "prompt": price.number("prompt"),
        "completion": price.number("completion"),
    }
    # As a server without a discount for them bills it.
    frozen["cached"] = price.number("cached", frozen["prompt"])
    for name in PRICES:
        if frozen[name] < 0:
            raise price.error(name, f"should be 0 or more, not {frozen[name]!r}")
    frozen["currency"] = price.text("currency", "USD")
    if not frozen["currency"].isalpha() or len(frozen["currency"]) != 3:
        raise price.error("currency", f"should be three letters, not {frozen['currency']!r}")
    frozen["currency"] = frozen["currency"].upper()
    price.done()
    return frozen


def _count(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_OF_A_REPLY:
        return value
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
