"""Take a key out of text, in whatever form a service or a program may write it.

A service that quotes the headers of a request does so in JSON, in HTML, in a URL, in Base64 or
wrapped into lines. A reader of the message needs a second to turn each of these back into the key.
So the text is read as such a reader would read it, and the key is looked for in what comes out.
"""

import base64
import html.entities
import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from pipeline.terminal import ESCAPE_SEQUENCES, UNSAFE

SHOWN = "[key]"
# Forms of a shorter key are too likely to occur by chance.
_SHORTEST = 8
# How often a text can be escaped in several ways, one around the other.
_ROUNDS = 3

# What may stand between two characters of a key: blanks, ends of lines, tags that break lines, and
# all that is taken out of a text before it is shown, which would put the key together again.
_BETWEEN = re.compile(
    rf"(?:\s|{UNSAFE.pattern})+|<(?:br|wbr)\s*/?>|&(?:amp;)*(?:nbsp|shy|zwnj|zwj);",
    re.IGNORECASE,
)
_BEFORE_OTHERS = ("<", "&")
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
    re.compile(r"%(?:25)*([0-9a-f]{2})", re.IGNORECASE),
    re.compile(r"&(?:amp;)*(?:\#x0*([0-9a-f]{1,5});?|\#0*([0-9]{1,6});?|([a-z]+;))", re.IGNORECASE),
)
_URLSAFE = str.maketrans("-_;", "+/,")
_HEX_SPACES = re.compile(r"0x|[:;,\-]")


class _Reading(msgspec.Struct, frozen=True):
    """A text as a reader may understand it, and where each of its characters comes from."""

    text: str
    begins: list[int]
    ends: list[int]

    def replaced(self, pattern: re.Pattern[str], new: Callable[[re.Match[str]], str]) -> "_Reading":
        """Return this reading with each match replaced by a character or by nothing."""
        parts: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        position = 0
        for match in pattern.finditer(self.text):
            start, end = match.span()
            parts.append(self.text[position:start])
            begins += self.begins[position:start]
            ends += self.ends[position:start]
            if character := new(match):
                parts.append(character)
                begins.append(self.begins[start])
                ends.append(self.ends[end - 1])
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
        self._plain = {key.lower(), _decode(key, ESCAPE_SEQUENCES).lower()}
        self._base64 = {_base64(key, before).lower() for before in range(3)}
        self._hexadecimal = key.encode().hex()
        first = self._hexadecimal[:2]
        self._spaced_hexadecimal = (f"0x{first}", *(first + between for between in ":;,-"))
        self._decimal = ",".join(str(ord(c)) for c in key)

    def __call__(self, text: str) -> str:
        """Return a text without the key."""
        text = text.replace(self._key, SHOWN)
        # Most texts hold none, and are looked at only this quickly.
        if not any(self._is_in(reading) for reading in _readings(text)):
            return text
        spans: list[tuple[int, int]] = []
        for reading in _mapped_readings(text):
            spans += self._spans(reading)
        return _without(text, spans)

    def _is_in(self, text: str) -> bool:
        return any(needle in form for form, needles in self._forms(text) for needle in needles)

    def _forms(self, text: str) -> Iterator[tuple[str, set[str]]]:
        """Yield texts of the same length, and what to look for in them."""
        text = text.lower()
        yield text, {n for n in (*self._plain, self._hexadecimal) if len(n) >= _SHORTEST}
        yield text.translate(_URLSAFE), {*self._base64, self._decimal}
        if any(begin in text for begin in self._spaced_hexadecimal):
            yield _HEX_SPACES.sub("", text), {self._hexadecimal}

    def _spans(self, reading: _Reading) -> Iterator[tuple[int, int]]:
        """Yield where in the original text the forms of the key begin and end."""
        for form, needles in self._forms(reading.text):
            same = reading
            if len(form) != len(reading.text):
                lower = _Reading(reading.text.lower(), reading.begins, reading.ends)
                same = lower.replaced(_HEX_SPACES, lambda match: "")
            for needle in needles:
                start = form.find(needle)
                while start >= 0:
                    end = start + len(needle)
                    yield same.begins[start], same.ends[end - 1]
                    start = form.find(needle, end)


def _readings(text: str) -> Iterator[str]:
    """Yield a text as different readers understand it: as it is, and decoded."""
    for sequence in _sequences(text):
        closed = _close_up(text, sequence)
        yield closed
        decoded = _decode(closed, sequence)
        if decoded != closed:
            yield decoded


def _mapped_readings(text: str) -> Iterator[_Reading]:
    """Yield what `_readings` yields, with the places in the text."""
    places = list(range(len(text) + 1))
    for sequence in _sequences(text):
        reading = _mapped_closed(_Reading(text, places[:-1], places[1:]), sequence)
        yield reading
        for _ in range(_ROUNDS):
            before = reading.text
            for pattern, character in zip(_ESCAPES, _CHARACTERS, strict=True):
                reading = reading.replaced(pattern, character)
            if reading.text == before:
                break
            reading = _mapped_closed(reading, sequence)
            yield reading


def _sequences(text: str) -> Iterable[re.Pattern[str]]:
    """Return the escape sequences that readers leave out of a text, in one way or another."""
    return _SEQUENCES if any(form in text for form in _ESCAPE_FORMS) else _SEQUENCES[:1]


def _close_up(text: str, sequence: re.Pattern[str]) -> str:
    """Return a text without what may stand between two characters of a key."""
    if text.isascii() and not any(begin in text for begin in _BEFORE_OTHERS):
        closed = "".join(text.split())  # many times faster
        if closed.isprintable():
            return closed
    return _BETWEEN.sub("", sequence.sub("", text))


def _mapped_closed(reading: _Reading, sequence: re.Pattern[str]) -> _Reading:
    """Return a reading of what `_close_up` returns."""
    return reading.replaced(sequence, lambda match: "").replaced(_BETWEEN, lambda match: "")


def _decode(text: str, sequence: re.Pattern[str]) -> str:
    for _ in range(_ROUNDS):
        before = text
        for pattern, character in zip(_ESCAPES, _CHARACTERS, strict=True):
            text = pattern.sub(character, text)
        if text == before:
            break
        text = _close_up(text, sequence)
    return text


def _after_backslash(match: re.Match[str]) -> str:
    """Return what backslashes and what follows them stand for; '' for the end of a line."""
    hexadecimal = match[1] or match[2] or match[3] or match[4]
    if hexadecimal:
        return chr(int(hexadecimal, 16))
    return chr(int(match[5], 8)) if match[5] else ""


def _after_percent(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _of_entity(match: re.Match[str]) -> str:
    if match[3]:
        # A name that stands for no such character is skipped, and what follows it read.
        return _NAMES.get(match[3], "&")
    return chr(int(match[1], 16) if match[1] else int(match[2]))


_CHARACTERS = (_after_backslash, _after_percent, _of_entity)


def _base64(key: str, before: int) -> str:
    """Return what is certain of a key in Base64 after that number of other bytes (modulo 3).

    The first and the last character may depend on what stands beside the key.
    """
    encoded = base64.b64encode(b"\0" * before + key.encode()).decode()
    return encoded[(0, 2, 3)[before] : 8 * (before + len(key)) // 6]


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
