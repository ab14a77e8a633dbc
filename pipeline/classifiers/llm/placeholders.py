"""Find what looks like a template's placeholder in a prompt, where nothing would fill it in.

Prompt and post are sent as two messages, so no place in a prompt is for the post. A prompt that was
written for another program may have such a place, as in `Post: {text}`, and the model would read
the placeholder itself. JSON, which many prompts show as an example, has braces too, and no name
ever stands behind its braces without quotes. Pure.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LONGEST = 80
# What prompts call a post, and what stands beside these words in a placeholder.
_POST = (
    "text|post|tweet|toot|comment|content|input|message|body|document|doc|sentence|query|passage"
    "|article|paragraph|review|headline|caption|transcript|utterance|statement|snippet|question"
    "|title|thread|reply|email|chat|conversation"
)
_POST_WORD = re.compile(_POST)
_OTHER_WORD = re.compile(
    "insert|paste|put|add|your|the|an?|here|user|social|media|full|raw|original|current|this|to|be"
    "|of|for|that|you|want|classify|classified|label|labeled|annotate|analyze|rate|goes|data"
)
_DO = "to|for|that|you|classify|label|rate|annotate|evaluate|analyze|below|here|is|follows"


@dataclass(frozen=True, kw_only=True, slots=True)
class Placeholder:
    """What looks like a placeholder, and where."""

    text: str
    line: int
    """The number of its line, from 1."""


def find_placeholder(text: str, *, braces_only: bool = False) -> Placeholder | None:
    """Return the first part of a text that looks like a placeholder; None if there is none.

    Args:
        text: the text.
        braces_only: look for `{name}` and the like only, because the text has other signs of its
            own, such as the tags of a model's template.
    """
    spans = [*_in_braces(text), *(() if braces_only else _by_other_signs(text))]
    if not spans:
        return None
    start, end = min(spans)
    return Placeholder(text=text[start:end], line=text.count("\n", 0, start) + 1)


_BRACES = re.compile(rf"[$#]?(?P<open>\{{{{1,3}})(?P<inside>[^{{}}]{{0,{_LONGEST}}})\}}{{1,3}}")
_STATEMENT = re.compile(rf"\{{%[^%{{}}]{{1,{_LONGEST}}}%\}}")
# LaTeX: \emph{word}, \frac{a}{b}, x^{word}, x_{word}; patterns: \d{4}, [a-z]{2}.
_AFTER_COMMAND = re.compile(r"(?:\\[A-Za-z]*\*?(?:\{[^{}]*\})*|[\^_])\Z")
_AFTER_REPEATED = re.compile(r"[\w\])}.*+?\\^]\Z")
# `Post:`, `Text to classify: "`, directly before a sign.
_AFTER_LABEL = re.compile(rf"(?:\A|[\s*#>(-])(?:{_POST})s?(?: (?:{_DO})){{0,4}}\W{{0,12}}\Z", re.I)

_NUMBER = re.compile(r"\d+(?:![rsa])?(?::\S*)?")
_WORDS = re.compile(r"[^\W\d][\w'’-]*(?:[ \t\n]+[\w'’-]+){0,7}")
# post.text, post["text"], text.strip(), text[:500]; then !r, :>20 or a filter.
_ACCESS = re.compile(r"[^\W\d]\w*(?:\.\w+|\[[^\]]*\]|\([^)]*\))+(?:\s*[!:|].*)?", re.DOTALL)
_CONVERTED = re.compile(r"[^\W\d]\w*![rsa](?::.*)?")
_FORMATTED = re.compile(r"[^\W\d]\w*:(?:.?[<>=^])?[+\- ]?#?0?\d*[,_]?(?:\.\d+)?[bcdeEfFgGnosxX%]?")
_FILTERED = re.compile(
    r"[^\W\d]\w*\s*\|\s*(?:trim|safe|e|escape|tojson|json|truncate|upper|lower|strip|striptags"
    r"|default|raw|title|replace|length)\b.*",
    re.DOTALL,
)
# Signs of Jinja, Mustache, Handlebars, Go and PHP before a name.
_SIGILS = re.compile(r"^[-~#/>&^!.$@\s]+")
_KEY = re.compile(r"\w+\s*:(?!:)")


def _in_braces(text: str) -> Iterator[tuple[int, int]]:
    for match in _STATEMENT.finditer(text):
        yield match.span()
    for match in _BRACES.finditer(text):
        before = text[max(0, match.start("open") - _LONGEST) : match.start("open")]
        if _is_placeholder(match["inside"], before, braces=len(match["open"])):
            yield match.span()


def _is_placeholder(inside: str, before: str, *, braces: int) -> bool:
    name = _SIGILS.sub("", inside).rstrip("-~#? \t\n")
    if not name:
        return not inside.strip() and braces == 1 and _AFTER_LABEL.search(before) is not None
    if _NUMBER.fullmatch(name):
        return not _AFTER_REPEATED.search(before)
    if not re.match(r"[^\W\d]", name):
        return False
    if _AFTER_COMMAND.search(before) and not (before.endswith("_") and _names_post(name)):
        return False
    if braces > 1 and not _KEY.match(name):
        return True
    patterns = (_WORDS, _ACCESS, _CONVERTED, _FILTERED)
    return any(pattern.fullmatch(name) for pattern in patterns) or _has_format(name)


def _has_format(name: str) -> bool:
    """Report whether `name:format` is one of Python's, and no `{key:value}` without blanks."""
    if not _FORMATTED.fullmatch(name):
        return False
    variable, _, form = name.partition(":")
    return re.search(r"[<>^]|\.\d", form) is not None or _names_post(variable)


# These signs have other uses as well, so the words beside or inside them count.
_CERTAIN = (
    re.compile(rf"%\(\w{{1,{_LONGEST}}}\)[srd]\b"),  # %(text)s
    re.compile(r"(?<![\w%])%[sr](?!\w)"),  # %s
    re.compile(rf"<<<?\w[\w.-]{{0,{_LONGEST}}}>>>?"),  # <<text>>
)
_AROUND_POST_WORDS = (
    # $text; not "$comment" as a key of a JSON schema
    re.compile(r"(?<![\w$\\])\$(?P<inside>[A-Za-z]\w{0,40})(?!\w|[\"']\s*:)"),
    re.compile(r"(?<!\w)(?P<sign>__|@@|##|%%?)(?P<inside>[A-Z][A-Z_]{0,40}[A-Z])(?P=sign)(?!\w)"),
    re.compile(r"(?<![\w%])%(?P<inside>[A-Za-z]\w{0,40})%(?![\w%])"),  # %text%
    re.compile(rf"<\|\s*(?P<inside>\w[\w -]{{0,{_LONGEST}}}?)\s*\|>"),  # <|text|>
    re.compile(rf"\[\[\s*(?P<inside>[A-Za-z][\w -]{{0,{_LONGEST}}}?)\s*\]\](?![(\[:])"),
    re.compile(rf"<<<?\s+(?P<inside>\w[\w -]{{0,{_LONGEST}}}?)\s+>>>?"),
)
# [TEXT], [INSERT POST HERE], <TWEET>; Post: [text]. Not the [text](url) of Markdown.
_BRACKETS = re.compile(
    r"(?<![\w\])\[<])(?:\[{1,2}(?P<square>[A-Za-z][\w -]{1,60})\]{1,2}(?![(\[:])"
    r"|<(?P<angle>[A-Za-z][\w -]{1,60})>(?!>))"
)
_CLOSING_TAG = re.compile(r"</([A-Za-z][\w -]{1,60})>")
_IN_JSON = re.compile(r"[\"'’”]\s*:\s*[\"'“‘]?\Z")
_INSERT = re.compile(r"\b(?:insert|paste|here)\b", re.I)


def _by_other_signs(text: str) -> Iterator[tuple[int, int]]:
    for pattern in _CERTAIN:
        for match in pattern.finditer(text):
            yield match.span()
    for pattern in _AROUND_POST_WORDS:
        for match in pattern.finditer(text):
            if _names_post(match["inside"]):
                yield match.span()
    closed = {match[1].lower() for match in _CLOSING_TAG.finditer(text)}
    for match in _BRACKETS.finditer(text):
        before = text[max(0, match.start() - _LONGEST) : match.start()]
        inside = match["square"] or match["angle"]
        if _names_post(inside) and _is_for_post(inside, before, closed):
            yield match.span()


def _is_for_post(inside: str, before: str, closed: set[str]) -> bool:
    """Report whether brackets around post words are a placeholder, and not an aside or a tag."""
    if _IN_JSON.search(before) or inside.lower() in closed:
        return False
    is_marked = inside.isupper() or _INSERT.search(inside) is not None
    return is_marked or _AFTER_LABEL.search(before) is not None


def _names_post(name: str) -> bool:
    """Report whether a name says nothing but that it is a post, as `post_text` and `userPost` do.

    Digits and a plural do not matter.
    """
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    words = [part.lower() for part in parts]
    singular = [word if _OTHER_WORD.fullmatch(word) else word.removesuffix("s") for word in words]
    others = [word for word in singular if not _POST_WORD.fullmatch(word)]
    return len(others) < len(words) and all(_OTHER_WORD.fullmatch(word) for word in others)
