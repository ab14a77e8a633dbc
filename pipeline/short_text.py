"""Tell which texts are too short to be sent. Pure."""

INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
# One set, because blanks and invisible characters may alternate. U+3000 is the last white space
# character of Unicode.
BLANK = INVISIBLE + "".join(filter(str.isspace, map(chr, range(0x3001))))
_BLANKS = frozenset(BLANK)


def is_too_short(text: str, min_length: int) -> bool:
    """Tell whether a text has fewer characters than that, without those of BLANK at its ends."""
    if len(text) >= min_length > 0 and text[0] not in _BLANKS and text[-1] not in _BLANKS:
        return False  # at a fifth of the price, and true of most posts
    return len(text.strip(BLANK)) < min_length
