"""Read the declared word with which a guard model answers.

A word counts as it is declared, in lower case, in capitals, and with a first capital. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.classifiers.llm.answer_problems import AnswerProblem, InvalidAnswer
from pipeline.config.keys import Wrong
from pipeline.model import LabelValue

WordValue = bool | float | str
"""What a word stands for: true or false, a number, or a category."""

_SHOWN_CHARACTERS = 80
# "safety" is not "safe", and "0.5" is not "0".
_END = re.compile(r"(?![\w'’-])(?![.,]\d)")
_CATEGORIES = re.compile(r"(?:category|categories)\s*:", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundWord:
    """The declared word at the beginning of an answer."""

    value: WordValue
    """What it stands for."""

    start: int
    """The character of the answer at which it begins."""

    after: str
    """What the answer says after it."""


def check_words(words: Mapping[str, WordValue]) -> None:
    """Check that words differ enough and stand for values of one kind.

    Raises:
        Wrong: they do not.
    """
    for word in words:
        if word != word.strip() or not any(sign.isalnum() for sign in word):
            raise Wrong("words", f"{word!r} should be a word, without blanks around it")
    kinds = {type(value) for value in words.values()}
    if len(kinds) > 1:
        raise Wrong(
            "words", "should all stand for true or false, all for numbers, or all for texts"
        )
    if len(set(words.values())) < 2:
        raise Wrong("words", "should stand for two values or more")
    owner: dict[str, str] = {}
    for word in words:
        for spelling in spellings_of(word):
            if owner.setdefault(spelling, word) != word:
                raise Wrong("words", f"{owner[spelling]!r} and {word!r} are one word")


def spellings_of(word: str) -> tuple[str, ...]:
    """Return the ways to write a word that count as this word."""
    return tuple(dict.fromkeys((word, word.lower(), word.upper(), word.capitalize())))


def spellings_by_value(words: Mapping[str, WordValue]) -> dict[LabelValue, tuple[bytes, ...]]:
    """Return the ways to write the words of each value, as UTF-8."""
    found: dict[LabelValue, tuple[bytes, ...]] = {}
    for word, value in words.items():
        ways = (spelling.encode() for spelling in spellings_of(word))
        found[value] = (*found.get(value, ()), *ways)
    return found


def read_word(answer: str, words: Mapping[str, WordValue], prefix: str) -> FoundWord:
    """Return the declared word that an answer begins with.

    Blanks before and after the prefix do not matter.

    Args:
        answer: the answer, without thinking.
        words: the declared words and what they stand for.
        prefix: what comes before the word, such as `Safety:`; '' if nothing does.

    Raises:
        InvalidAnswer: it begins with something else, or ends before the word does.
    """
    said = answer.lstrip()
    if not said:
        raise InvalidAnswer(AnswerProblem.NO_CONTENT, "no content")
    if not said.startswith(prefix):
        raise _not_a_word(said, unfinished=prefix.startswith(said.rstrip()))
    said = said[len(prefix) :].lstrip()
    # The longest first: "safe with care" is not "safe".
    spelled = [(way, value) for word, value in words.items() for way in spellings_of(word)]
    for way, value in sorted(spelled, key=lambda pair: -len(pair[0])):
        if said.startswith(way) and _END.match(said, len(way)):
            return FoundWord(value=value, start=len(answer) - len(said), after=said[len(way) :])
    raise _not_a_word(said, unfinished=any(way.startswith(said.rstrip()) for way, _ in spelled))


def read_categories(after: str) -> str | None:
    """Return the first line behind the word's own, without its heading; None without one.

    Llama Guard writes `S1,S10` there, and Qwen3Guard `Categories: Violent`.
    """
    lines = (line.strip() for line in after.split("\n")[1:])
    line = next(filter(None, lines), "")
    heading = _CATEGORIES.match(line)
    line = line[heading.end() :].strip() if heading else line
    # Half an emoji is valid JSON, but no file can hold it.
    line = line.encode(errors="replace").decode()
    return line or None


def ends_word(after: bytes) -> bool:
    """Report whether a word is complete before the bytes that a token adds to it."""
    sign = after[:1]
    return not (sign.isalnum() or sign in (b"_", b"'", b"-") or sign >= b"\x80")


def _not_a_word(said: str, *, unfinished: bool) -> InvalidAnswer:
    problem = AnswerProblem.WORD_UNFINISHED if unfinished else AnswerProblem.OTHER_WORD
    return InvalidAnswer(problem, f"not a declared word: {said[:_SHOWN_CHARACTERS]!r}")
