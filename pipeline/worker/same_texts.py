"""Find the posts of a shard that have the text of an earlier post, and need no question. Pure."""

from collections.abc import Iterable, Mapping

from pipeline.short_text import is_too_short


def find_copies(
    posts: Iterable[tuple[str, str, str | None]], min_text_length: int
) -> Mapping[str, str]:
    """Return by uri whose answer a post gets: that of the first post with exactly the same text.

    The text is all that a classifier sees of a post, so its question is the same. Posts that are
    not sent are no copies, and have none: each has its own reason.

    Args:
        posts: uri, text and reason of each post, in the order of the shard.
        min_text_length: the least number of characters of a text that is sent.
    """
    first_uris: dict[str, str] = {}
    copies: dict[str, str] = {}
    for uri, text, reason in posts:
        if reason is not None:
            continue
        first = first_uris.setdefault(text, uri)
        if first != uri and not is_too_short(text, min_text_length):
            copies[uri] = first
    return copies
