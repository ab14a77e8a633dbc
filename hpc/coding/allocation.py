"""Decide how many texts are drawn from each stratum, and who codes which of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def allocate_equally(sizes: Mapping[str, int], size: int) -> dict[str, int]:
    """Return how many to draw from each stratum: the same from all, as far as they have so many.

    What a small stratum lacks is drawn from the others. A larger sample draws at least as many from
    every stratum, so that it contains a smaller one.

    Args:
        sizes: how many there are in each stratum, in a fixed order that decides who gets the rest.
        size: how many to draw, at most their sum.
    """
    drawn = dict.fromkeys(sizes, 0)
    left = size
    while left:
        open_strata = [name for name in sizes if drawn[name] < sizes[name]]
        room = min(sizes[name] - drawn[name] for name in open_strata)
        step = min(room, left // len(open_strata))
        if step:
            for name in open_strata:
                drawn[name] += step
            left -= step * len(open_strata)
            continue
        for name in open_strata[:left]:
            drawn[name] += 1
        break
    return drawn


def shuffled(uris: Sequence[str], *key: object) -> list[str]:
    """Return uris in an order that depends on nothing but them and the key."""
    return sorted(uris, key=lambda uri: (_digest(uri, *key), uri))


def _digest(*words: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, words)).encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """Who codes which posts, each coder's in the order of the file."""

    coders: Mapping[str, tuple[str, ...]]
    """The uris of each coder."""
    overlap: int
    """How many posts every coder codes."""


def assign(uris: Sequence[str], coders: Sequence[str], overlap: int, seed: int) -> Assignment:
    """Divide posts among coders, so that all of them code the same `overlap` posts.

    Nobody can see in a file which posts others code as well, nor which stratum a post is from.
    """
    order = shuffled(uris, seed, "assignment")
    common, rest = order[:overlap], order[overlap:]
    return Assignment(
        coders={
            coder: tuple(
                shuffled([*common, *rest[number :: len(coders)]], seed, "order of the file", coder)
            )
            for number, coder in enumerate(coders)
        },
        overlap=overlap,
    )
