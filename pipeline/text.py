"""Numbers, and words that may be misspelt, in sentences."""

import difflib
from collections.abc import Sequence


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 post`, `1,000 posts`; `many` where that is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def nearest(word: str, names: Sequence[str]) -> str | None:
    """The name that is spelt most like it; None where none is."""
    return next(iter(difflib.get_close_matches(word, names, n=1)), None)


def did_you_mean(word: str, names: Sequence[str]) -> str:
    """To follow what says that `word` is wrong; '' where no name is like it."""
    near = nearest(word, names)
    return f" (did you mean {near!r}?)" if near else ""
