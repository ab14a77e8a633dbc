"""Numbers in sentences."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 post`, `1,000 posts`; `many` where that is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
