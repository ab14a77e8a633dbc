"""Take a key out of text, in whatever form a service or a program may write it.

A service that quotes the headers of a request does so in JSON, in HTML, in a URL, in Base64 or
wrapped into lines. A reader of the message needs a second to turn each of these back into the key.
So the text is read as such a reader would read it, and the key is looked for in what comes out.
"""

import base64
import html.entities
import re
import string
from collections.abc import Callable, Iterable, Iterator

import msgspec

from pipeline.config.key_forms import as_numbers, in_base32, in_base64, in_base85, packed_twice
from pipeline.terminal import ESCAPE_SEQUENCES, UNSAFE

SHOWN = "[key]"
# Forms of a shorter key are too likely to occur by chance.
_SHORTEST = 8
# How often a text can be escaped in several ways, one around the other.
_ROUNDS = 3

# What may stand between two characters of a key: blanks, ends of lines, tags that break lines, and
# all that is taken out of a text before it is shown, which would put the key together again.
_BETWEEN = re.compile(
    rf"(?:\s|{UNSAFE.pattern}|[\u0300-\u036f])+|<(?:br|wbr)\s*/?>"
    r"|&(?:amp;)*(?:nbsp|shy|zwnj|zwj);",
    re.IGNORECASE,
)
_BEFORE_OTHERS = ("<", "&", "=\r", "=\n")
# The same, for a reader of markup or quoted-printable: any tag or comment, the seams of CDATA, and
# ends of lines that are no part of the text.
_BETWEEN_WITH_TAGS = re.compile(
    rf"=\r?\n|{_BETWEEN.pattern}|<!--.{{0,256}}?-->|\]\]>|<!\[CDATA\[|<[^<>]*>",
    re.IGNORECASE | re.DOTALL,
)
# What stands between two numbers of a list.
_SEPARATORS = re.compile(r"(?:<[^<>]*>|\\[nrt]|[^0-9a-z])+")
_FULL_WIDTH = re.compile("[\uff01-\uff5e]")
_LOWER = {ord(c): c.lower() for c in string.ascii_uppercase}
# An escape sequence is taken out whole. One that is cut off may end with a character of the key.
_SEQUENCES = (ESCAPE_SEQUENCES, re.compile("\x1b"))
# What every form of the escape character has, and few other texts.
_ESCAPE_FORMS = ("\x1b", "1b", "1B", "033", "27")
_NAMES = {
    name: character
    for name, character in html.entities.html5.items()
    if name.endswith(";") and len(character) == 1 and character.isascii()
}
# Each of them however often it was escaped again. A pattern that begins with a certain character is
# found many times faster.
_ESCAPES = (
    re.compile(
        r"\\\\*(?:(?-i:U)000([0-9a-f]{5})|u(?:([0-9a-f]{4})|\{0*([0-9a-f]{1,5})\})"
        r"|x([0-9a-f]{2})|([0-7]{3})|[nrtfv])?",
        re.IGNORECASE,
    ),
    re.compile(r"%(?:25)*(?:u([0-9a-f]{4})|([0-9a-f]{2}))", re.IGNORECASE),
    re.compile(r"&(?:amp;)*(?:\#x0*([0-9a-f]{1,5});?|\#0*([0-9]{1,6});?|([a-z]+;))", re.IGNORECASE),
)
# Forms that an ordinary text, or a key, has by chance. They are read last: quoted-printable, UTF-7.
# An equals sign is all that quoted-printable must escape in a key. To read no other keeps what
# follows `key=` as it is.
_RARE_ESCAPES = (
    re.compile(r"=([0-9a-f]{2})", re.IGNORECASE),
    re.compile(r"=(3d)", re.IGNORECASE),
    re.compile(r"\+[A-Za-z0-9+/]{0,200}-"),
)
# A plus begins a run of UTF-7, and is a digit of its Base64, too.
_MOST_PLUSES = 16
_URLSAFE = str.maketrans("-_;", "+/,")
_HEX_SPACES = re.compile(r"0x|[:;,\-]")


class _Reading(msgspec.Struct, frozen=True):
    """A text as a reader may understand it, and where each of its characters comes from."""

    text: str
    begins: list[int]
    ends: list[int]

    def replaced(self, pattern: re.Pattern[str], new: Callable[[re.Match[str]], str]) -> "_Reading":
        """Return this reading with each match replaced by other characters or by nothing."""
        parts: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        position = 0
        for match in pattern.finditer(self.text):
            start, end = match.span()
            parts.append(self.text[position:start])
            begins += self.begins[position:start]
            ends += self.ends[position:start]
            if characters := new(match):
                parts.append(characters)
                begins += [self.begins[start]] * len(characters)
                ends += [self.ends[end - 1]] * len(characters)
            position = end
        parts.append(self.text[position:])
        return _Reading(
            "".join(parts), begins + self.begins[position:], ends + self.ends[position:]
        )


class Redaction:
    """Takes one key out of texts."""

    def __init__(self, key: str) -> None:
        """Prepare to find a key of printable ASCII characters."""
        self._key = key
        code = key.encode()
        plain = _decode(key, ESCAPE_SEQUENCES, _BETWEEN)
        self._plain = _needles(key, plain, *_read_rare(plain), code.hex())
        packed = _needles(*in_base64(code), *packed_twice(code))
        self._packed = {needle.translate(_URLSAFE) for needle in packed}
        self._written = self._plain | _needles(*in_base85(code), *in_base32(code))
        self._hexadecimal = code.hex()
        first = self._hexadecimal[:2]
        self._spaced_hexadecimal = (f"0x{first}", *(first + between for between in ":;,-"))
        self._numbers = set(as_numbers(code))
        # A list of characters has quotes, commas and the like between them.
        others = "".join(sorted({*string.punctuation, "\0"} - {*key}))
        self._punctuation = re.compile(f"[{re.escape(others)}]+")
        self._without_punctuation = str.maketrans("", "", others)

    def __call__(self, text: str) -> str:
        """Return a text without the key."""
        text = text.replace(self._key, SHOWN)
        # Most texts hold none, and are looked at only this quickly.
        if not (any(self._is_in(each) for each in _readings(text)) or self._is_listed_in(text)):
            return text
        spans: list[tuple[int, int]] = []
        places = list(range(len(text) + 1))
        written = _Reading(text, places[:-1], places[1:])
        for reading in _mapped_readings(written):
            spans += self._spans(reading)
        numbers = _folded(written).replaced(_SEPARATORS, lambda match: ",")
        spans += _places_of(self._numbers, numbers)
        return _without(text, spans)

    def _is_in(self, text: str) -> bool:
        return any(needle in form for form, needles, _ in self._forms(text) for needle in needles)

    def _is_listed_in(self, text: str) -> bool:
        # In every notation, the code of a printable character has a digit.
        if sum(map(text.count, string.digits)) < len(self._key):
            return False
        numbers = _SEPARATORS.sub(",", _fold(text))
        return any(needle in numbers for needle in self._numbers)

    def _forms(self, text: str) -> Iterator[tuple[str, set[str], re.Pattern[str] | None]]:
        """Yield a text in other forms, what to look for in each, and what was taken out for it."""
        text = _fold(text)
        yield text, self._written, None
        yield text.translate(_URLSAFE), self._packed, None
        yield text.translate(self._without_punctuation), self._plain, self._punctuation
        if any(begin in text for begin in self._spaced_hexadecimal):
            yield _HEX_SPACES.sub("", text), {self._hexadecimal}, _HEX_SPACES

    def _spans(self, reading: _Reading) -> Iterator[tuple[int, int]]:
        """Yield where in the original text the forms of the key begin and end."""
        folded = _folded(reading)
        for form, needles, left_out in self._forms(reading.text):
            same = folded.replaced(left_out, lambda match: "") if left_out else folded
            yield from _places_of(needles, _Reading(form, same.begins, same.ends))


def _needles(*texts: str) -> set[str]:
    return {text.lower() for text in texts if len(text) >= _SHORTEST}


def _places_of(needles: Iterable[str], reading: _Reading) -> Iterator[tuple[int, int]]:
    """Yield where in the original text any of these texts begin and end."""
    for needle in needles:
        start = reading.text.find(needle)
        while start >= 0:
            end = start + len(needle)
            yield reading.begins[start], reading.ends[end - 1]
            start = reading.text.find(needle, end)


def _fold(text: str) -> str:
    """Return a text of the same length in lower case and in letters of the usual width."""
    if not text.isascii():
        text = _FULL_WIDTH.sub(lambda match: chr(ord(match[0]) - 0xFEE0), text)
    lower = text.lower()
    return lower if len(lower) == len(text) else text.translate(_LOWER)


def _folded(reading: _Reading) -> _Reading:
    return _Reading(_fold(reading.text), reading.begins, reading.ends)


def _readings(text: str) -> Iterator[str]:
    """Yield a text as different readers understand it: as it is, and decoded."""
    has_tags = any(end in text for end in ("=\r", "=\n"))
    for between in (_BETWEEN, _BETWEEN_WITH_TAGS):
        for sequence in _sequences(text):
            closed = _close_up(text, sequence, between)
            decoded = _decode(closed, sequence, between)
            # As they are written, and as escapes that were decoded.
            has_tags = has_tags or any(mark in decoded for mark in "<>")
            yield closed
            if decoded != closed:
                yield decoded
            yield from _read_rare(decoded)
        if not has_tags:
            return


def _mapped_readings(written: _Reading) -> Iterator[_Reading]:
    """Yield what `_readings` yields, with the places in the text."""
    for between in (_BETWEEN, _BETWEEN_WITH_TAGS):
        for sequence in _sequences(written.text):
            reading = _mapped_closed(written, sequence, between)
            yield reading
            for _ in range(_ROUNDS):
                before = reading.text
                for pattern, character in zip(_ESCAPES, _CHARACTERS, strict=True):
                    reading = reading.replaced(pattern, character)
                if reading.text == before:
                    break
                reading = _mapped_closed(reading, sequence, between)
                yield reading
            for pattern, characters in zip(_RARE_ESCAPES, _RARE_CHARACTERS, strict=True):
                yield reading.replaced(pattern, characters)


def _sequences(text: str) -> Iterable[re.Pattern[str]]:
    """Return the escape sequences that readers leave out of a text, in one way or another."""
    return _SEQUENCES if any(form in text for form in _ESCAPE_FORMS) else _SEQUENCES[:1]


def _close_up(text: str, sequence: re.Pattern[str], between: re.Pattern[str]) -> str:
    """Return a text without what may stand between two characters of a key."""
    if text.isascii() and not any(begin in text for begin in _BEFORE_OTHERS):
        closed = "".join(text.split())  # many times faster
        if closed.isprintable():
            return closed
    return between.sub("", sequence.sub("", text))


def _mapped_closed(
    reading: _Reading, sequence: re.Pattern[str], between: re.Pattern[str]
) -> _Reading:
    """Return a reading of what `_close_up` returns."""
    return reading.replaced(sequence, lambda match: "").replaced(between, lambda match: "")


def _read_rare(text: str) -> Iterator[str]:
    """Yield a text as readers of quoted-printable and of UTF-7 read it, if it then differs."""
    for pattern, characters in zip(_RARE_ESCAPES, _RARE_CHARACTERS, strict=True):
        read = pattern.sub(characters, text)
        if read != text:
            yield read


def _decode(text: str, sequence: re.Pattern[str], between: re.Pattern[str]) -> str:
    for _ in range(_ROUNDS):
        before = text
        for pattern, character in zip(_ESCAPES, _CHARACTERS, strict=True):
            text = pattern.sub(character, text)
        if text == before:
            break
        text = _close_up(text, sequence, between)
    return text


def _after_backslash(match: re.Match[str]) -> str:
    """Return what backslashes and what follows them stand for; '' for the end of a line."""
    hexadecimal = match[1] or match[2] or match[3] or match[4]
    if hexadecimal:
        return chr(int(hexadecimal, 16))
    return chr(int(match[5], 8)) if match[5] else ""


def _after_percent(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2], 16))


def _after_equals(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _of_utf_7(match: re.Match[str]) -> str:
    """Return the characters of a run of UTF-7 and what is before it, or the text without a run."""
    run = match[0].removesuffix("-")
    begin = 0
    for _ in range(_MOST_PLUSES):
        if characters := _characters_of_utf_7(run[begin + 1 :]):
            return run[:begin] + characters
        begin = run.find("+", begin + 1)
        if begin < 0:
            break
    return match[0]


def _characters_of_utf_7(digits: str) -> str:
    """Return what Base64 digits of UTF-16 stand for; '' if that is no ASCII text."""
    if not digits:
        return "+"
    missing = -len(digits) % 4
    if missing == 3:
        return ""
    characters = base64.b64decode(digits + "=" * missing).decode("utf-16-be", "replace")
    return characters if characters.isascii() and characters.isprintable() else ""


def _of_entity(match: re.Match[str]) -> str:
    if match[3]:
        # A name that stands for no such character is skipped, and what follows it read.
        return _NAMES.get(match[3], "&")
    return chr(int(match[1], 16) if match[1] else int(match[2]))


_CHARACTERS = (_after_backslash, _after_percent, _of_entity)
_RARE_CHARACTERS = (_after_equals, _after_equals, _of_utf_7)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    parts: list[str] = []
    position = 0
    for begin, end in sorted(spans):
        if end <= position:
            continue
        if begin >= position:
            parts += [text[position:begin], SHOWN]
        position = end
    return "".join([*parts, text[position:]])
