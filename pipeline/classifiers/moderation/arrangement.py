"""Arrange several texts in one request so that its results prove their own order. Pure.

Results hold scores and nothing that says which text they are about. If two texts occur once each,
nobody can tell whether their results have changed places. So each text occurs twice, at places that
the service cannot expect, and a fixed sentence whose scores are known occurs once. A reply is
accepted if it has as many results as there were texts, both results of each text are alike, and the
sentence has its scores.

Only a reordering that moves both results of a text to both places of another one passes. If it does
not depend on the texts, it passes with a probability of at most 2 / (N (N - 2)) for N texts in the
request: 1 in 31 for 4 posts, 1 in 449 for 15. The first reply that is not accepted ends requests
with several posts, so a service that goes on reordering is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.classifiers.moderation.reply import Result

FEWEST_POSTS = 4
"""With fewer posts, chance would accept too many wrong orders: they are sent one by one."""

_SENTENCE = -1


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Which post each text of a request is about, by its number; -1 is the fixed sentence."""

    order: tuple[int, ...]

    def texts(self, posts: Sequence[str], sentence: str) -> list[str]:
        """Return the texts of the request."""
        return [sentence if number == _SENTENCE else posts[number] for number in self.order]

    def join(self, results: Sequence[Result], known: Result) -> tuple[Result, ...] | None:
        """Return the result of each post; None if the results do not prove their order.

        Args:
            results: as many as there are texts in the request, in the reply's order.
            known: the result of the fixed sentence in a request of its own.
        """
        first: dict[int, Result] = {_SENTENCE: known}
        for number, result in zip(self.order, results, strict=True):
            if not first.setdefault(number, result).is_like(result):
                return None
        return tuple(first[number] for number in range(len(first) - 1))


def arrange(posts: int, shuffle: Callable[[list[int]], None]) -> Arrangement:
    """Return an arrangement of this many posts.

    Args:
        posts: how many there are.
        shuffle: shuffles a list in place, so that nobody can foresee the order.
    """
    order = [_SENTENCE, *range(posts), *range(posts)]
    shuffle(order)
    return Arrangement(tuple(order))
