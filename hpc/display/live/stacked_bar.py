"""Divide the cells of a bar among the parts of a whole. Pure."""

from collections.abc import Sequence


def divide(amounts: Sequence[int], cells: int) -> list[int]:
    """Return how many cells each part gets; they add up to `cells`, or to 0 if nothing is there.

    Each part that is not 0 gets a cell, so that a single failed shard is seen, if there are enough.
    So no part fills the bar before all others are 0.

    Args:
        amounts: the parts, none of them negative.
        cells: the length of the bar.
    """
    total = sum(amounts)
    if not total or cells < 1:
        return [0] * len(amounts)
    exact = [amount * cells / total for amount in amounts]
    shares = [max(int(share), bool(amount)) for share, amount in zip(exact, amounts, strict=True)]
    while (rest := cells - sum(shares)) != 0:
        # Whoever has the least too much gives, and whoever lacks most gets.
        lack = [share - have for share, have in zip(exact, shares, strict=True)]
        if rest > 0:
            shares[lack.index(max(lack))] += 1
        else:
            givers = [place for place, have in enumerate(shares) if have > 1] or [
                place for place, have in enumerate(shares) if have
            ]
            shares[min(givers, key=lambda place: lack[place])] -= 1
    return shares
