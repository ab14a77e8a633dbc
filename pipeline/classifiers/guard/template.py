"""Fill a post into a template that belongs to the user.

A guard model was trained on one template, so nothing is added to it. Everything is filled in at
once: braces in a post or in a question are data, and are never read as a placeholder. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.classifiers.guard.control_tokens import break_control_tokens

TEXT, QUESTION = "{text}", "{question}"

_PLACEHOLDER = re.compile(r"\{(text|question)\}")
_DOUBLED = re.compile(r"\{\{\s*(text|question)\s*\}\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """The parts of a template, each with what is to be filled in."""

    parts: tuple[str, ...]
    """One for a plain completion; the contents of the messages for a chat."""

    def render(self, text: str, question: str) -> tuple[str, ...]:
        """Return the parts with a post and a question.

        Args:
            text: the post, unchanged. A blank is inserted into everything in it that looks like a
                control token.
            question: the question; '' if the template has no place for one.
        """
        values = {"text": break_control_tokens(text), "question": question}
        return tuple(_PLACEHOLDER.sub(lambda match: values[match[1]], part) for part in self.parts)


def find_problem(parts: Sequence[str], *, has_questions: bool) -> str:
    """Return what is wrong with the places of a template; '' if nothing is.

    Args:
        parts: the parts of the template.
        has_questions: whether the configuration declares questions.
    """
    whole = "\n".join(parts)
    if doubled := _DOUBLED.search(whole):
        return (
            f"has {doubled[0]!r}: write {{{doubled[1]}}}, because only this is replaced, and the "
            "other braces would be sent"
        )
    texts, questions = whole.count(TEXT), whole.count(QUESTION)
    if texts != 1:
        return f"should have {TEXT} exactly once, where the post goes, not {texts} times"
    if has_questions and questions != 1:
        return (
            f"should have {QUESTION} exactly once, where each of classifier.questions goes, not "
            f"{questions} times"
        )
    if questions and not has_questions:
        return f"has {QUESTION}, but there are no classifier.questions"
    return ""


def without_places(part: str) -> str:
    """Return a part of a template without what is filled in."""
    return _PLACEHOLDER.sub("", part)
