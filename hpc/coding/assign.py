"""Decide who codes which posts, and in which order."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def shuffle(uris: Sequence[str], *key: object) -> list[str]:
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

    The order of a file reveals neither which posts others code as well, nor a post's stratum.
    """
    order = shuffle(uris, seed, "assignment")
    common, rest = order[:overlap], order[overlap:]
    return Assignment(
        coders={
            coder: tuple(
                shuffle([*common, *rest[number :: len(coders)]], seed, "order of the file", coder)
            )
            for number, coder in enumerate(coders)
        },
        overlap=overlap,
    )
