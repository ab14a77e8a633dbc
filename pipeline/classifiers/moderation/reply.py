"""Read one reply of a moderation endpoint strictly: nothing becomes a score that is not one.

The fields are those of OpenAI's API reference (`CreateModerationResponse`) and of Mistral's
(`ModerationResponse`), whose results have no `flagged`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.classifiers.moderation.categories import FLAGGED, column_of
from pipeline.model import LabelValue, as_object

# Services compute in floating-point numbers whose last digits depend on what else is computed.
_RELATIVE, _ABSOLUTE = 0.02, 1e-5


class InvalidReply(Exception):
    """An HTTP 200 without valid results; the message never quotes the service."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What the service says about one text."""

    scores: Mapping[str, float]
    """The score of each category from 0 to 1, whether or not it is configured."""

    flags: Mapping[str, bool]
    """Whether the service flags each category; empty where it does not say."""

    flagged: bool | None
    """Whether the service flags the text; None where it does not say."""

    def is_like(self, other: "Result") -> bool:
        """Report whether two results have the same scores, but for their last digits."""
        return self.scores.keys() == other.scores.keys() and all(
            math.isclose(score, other.scores[name], rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
            for name, score in self.scores.items()
        )

    def values(self, categories: Sequence[str]) -> dict[str, LabelValue]:
        """Return the values of the columns of these categories, and of FLAGGED.

        A category that the service has not scored is None. Where the service does not say whether
        a text is flagged, it is if any of these categories is, and unknown if a flag is missing.

        Raises:
            InvalidReply: none of the categories has a score.
        """
        if not any(name in self.scores for name in categories):
            raise InvalidReply("none of the categories has a score")
        values: dict[str, LabelValue] = {
            column_of(name): self.scores.get(name) for name in categories
        }
        return {**values, FLAGGED: self._is_flagged(categories)}

    def _is_flagged(self, categories: Sequence[str]) -> bool | None:
        if self.flagged is not None:
            return self.flagged
        flags = [self.flags.get(name) for name in categories if name in self.scores]
        return None if None in flags else any(flags)


def read_results(body: Any, count: int) -> tuple[Result, ...]:
    """Return the results of a reply about `count` texts, in the reply's order.

    Raises:
        InvalidReply: there are more or fewer, or one of them is not valid.
    """
    results = as_object(body).get("results")
    if not isinstance(results, list):
        raise InvalidReply("no list of results")
    if len(results) != count:
        raise InvalidReply(f"{len(results)} results for {count}")
    return tuple(map(_read_result, results))


def served_model(body: Any) -> str | None:
    """Return the model that the service names; None if it names none that can be stored."""
    name = as_object(body).get("model")
    return name if isinstance(name, str) and name.isprintable() and len(name) <= 200 else None


def _read_result(result: Any) -> Result:
    scores = as_object(result).get("category_scores")
    if not isinstance(scores, dict) or not scores:
        raise InvalidReply("no category_scores")
    flags = as_object(as_object(result).get("categories"))
    flagged = as_object(result).get("flagged")
    if flagged is not None and not isinstance(flagged, bool):
        raise InvalidReply("a flagged that is neither true nor false")
    if not all(flag is None or isinstance(flag, bool) for flag in flags.values()):
        raise InvalidReply("a category that is neither true nor false")
    return Result(
        scores={name: _read_score(score) for name, score in scores.items() if score is not None},
        flags={name: flag for name, flag in flags.items() if flag is not None},
        flagged=flagged,
    )


def _read_score(score: Any) -> float:
    # `isinstance(True, int)` holds.
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise InvalidReply("a score that is no number from 0 to 1")
    return float(score)
