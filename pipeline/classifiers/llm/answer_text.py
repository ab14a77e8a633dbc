"""Find the JSON object in the text of an answer, where nothing else can be meant.

Models think aloud before they answer, and put JSON into a Markdown fence. What stands before the
end of the thinking is no answer, and a fence is no part of one. Anything else around the object
makes the answer invalid: which of its parts was meant is not guessed.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline import strict_json
from pipeline.classifiers.llm.answer_problems import AnswerProblem, InvalidAnswer
from pipeline.strict_json import InvalidJson

SHOWN_CHARACTERS = 80

# The last two are Mistral's and Kimi's; ByteDance's Seed models write <seed:think>.
_THINKING = {
    **{f"<{name}>": f"</{name}>" for name in ("think", "thinking", "thought", "seed:think")},
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
}
_FENCE_SIGNS = "`~"
_SHORTEST_FENCE = 3
_LANGUAGE = re.compile(r"[\w+.-]*")


def read_object(content: str) -> Mapping[str, Any]:
    """Return the JSON object that a model's answer consists of.

    A key that it gives twice has a value that no label accepts.

    Raises:
        InvalidAnswer: the answer is not a JSON object.
    """
    return _locate(content)[1]


def object_text(content: str) -> str:
    """Return the text of that object, as it stands in the answer.

    Raises:
        InvalidAnswer: the answer is not a JSON object.
    """
    return _locate(content)[0]


def without_thinking(content: str) -> str:
    """Return what follows a model's thinking; all of the text if there is none.

    Raises:
        InvalidAnswer: the text is thinking, and nothing follows it.
    """
    if _is_only_thinking(content):
        raise InvalidAnswer(
            AnswerProblem.ONLY_THINKING, f"thinking only: {content[:SHOWN_CHARACTERS]!r}"
        )
    return _after_thinking(content)


def _locate(content: str) -> tuple[str, Mapping[str, Any]]:
    others: list[Any] = []
    for text in _readings(content):
        try:
            value = strict_json.parse(text).value
        except InvalidJson:
            continue
        if isinstance(value, dict):
            return text, value
        others.append(value)
    shown = f"{_after_thinking(content).strip()[:SHOWN_CHARACTERS]!r}"
    if others:
        raise InvalidAnswer(AnswerProblem.NOT_AN_OBJECT, f"not a JSON object: {shown}")
    without_thinking(content)
    raise InvalidAnswer(AnswerProblem.NOT_JSON, f"not JSON: {shown}")


def _readings(content: str) -> Iterator[str]:
    """Yield what the answer may be: all of the text, or what follows the thinking.

    The thinking may quote a post that has such a tag, so the last tag comes first. The tag may also
    be part of a label, after the only tag that ends the thinking.
    """
    yield _without_fence(content)
    for closing in _closings(content):
        yield _without_fence(content.rpartition(closing)[2])
        yield _without_fence(content.partition(closing)[2])


def _closings(content: str) -> list[str]:
    """Return the tags in a text that may end its thinking.

    Some chat templates open the thinking in the prompt, so there may be no opening tag. If there is
    one, only its own closing tag ends it.
    """
    opened = [tag for tag in _THINKING if content.lstrip().startswith(tag)]
    return [_THINKING[tag] for tag in opened or _THINKING if _THINKING[tag] in content]


def _without_fence(content: str) -> str:
    """Return a text without the fence around all of it, whatever language it names."""
    text = content.strip()
    sign = text[:1]
    if not sign or sign not in _FENCE_SIGNS or not text.endswith(sign * _SHORTEST_FENCE):
        return text
    body = text.strip(sign)
    if len(text) - len(text.lstrip(sign)) < _SHORTEST_FENCE or not body:
        return text
    language = _LANGUAGE.match(body.lstrip(" \t"))
    return body.lstrip(" \t")[language.end() if language else 0 :].strip()


def _after_thinking(content: str) -> str:
    """Return what follows the end of the thinking; all of the text if there is no such end."""
    for closing in _closings(content):
        content = content.rpartition(closing)[2]
    return content


def _is_only_thinking(content: str) -> bool:
    text = content.strip()
    is_unclosed = not _closings(text) and text.startswith(tuple(_THINKING))
    return is_unclosed or (bool(text) and not _after_thinking(text).strip())
