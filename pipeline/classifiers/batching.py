"""From token counts to batches: posts of like length together, so that little of it is padding."""

from collections.abc import Sequence


def batches(lengths: Sequence[int], *, most_tokens: int) -> list[list[int]]:
    """Positions in `lengths`, each in one batch; the longest posts first, so that a batch that does
    not fit a GPU's memory shows at once. Equal lengths keep their order.

    A batch is as many rows as its longest has tokens, padding included: at most `most_tokens`, but
    for a post that is longer alone. Over all batches, padding comes to at most
    `most_tokens * ln(longest / shortest)` tokens, however many posts there are.

    Args:
        lengths: tokens of each post, 1 or more.
    """
    found: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        if found and (len(found[-1]) + 1) * lengths[found[-1][0]] <= most_tokens:
            found[-1].append(position)
        else:
            found.append([position])
    return found


def padded_tokens(lengths: Sequence[int]) -> int:
    """What a batch of posts of these lengths costs."""
    return len(lengths) * max(lengths, default=0)
