"""Read the answer of a completion, or say why it holds none."""

from collections.abc import Callable
from typing import TypeVar

from pipeline.classifiers.llm import chat
from pipeline.classifiers.llm.answer_problems import AnswerProblem, InvalidAnswer
from pipeline.service.http_reply import Reply

Answer = TypeVar("Answer")

# What a text that was cut in the middle looks like. An object that is whole was not cut: some
# models go on with blanks until max_tokens.
_LOOKS_CUT = frozenset(
    {
        AnswerProblem.NO_CONTENT,
        AnswerProblem.ONLY_REASONING,
        AnswerProblem.ONLY_THINKING,
        AnswerProblem.NOT_JSON,
        AnswerProblem.NOT_AN_OBJECT,
        AnswerProblem.WORD_UNFINISHED,
    }
)


def read(reply: Reply, read_text: Callable[[str], Answer]) -> tuple[str, Answer]:
    """Return the text of a completion, and what `read_text` reads from it.

    Raises:
        InvalidAnswer: it holds no answer.
    """
    if reply.problem:
        raise InvalidAnswer(AnswerProblem.UNCLEAR, reply.problem)
    if chat.choices(reply.body) > 1:
        raise InvalidAnswer(AnswerProblem.UNCLEAR, "several choices, where one was asked for")
    ending = chat.ending(reply.body)
    if ending not in (None, AnswerProblem.CUT):
        raise InvalidAnswer(ending)
    try:
        text = chat.content(reply.body)
        return text, read_text(text)
    except InvalidAnswer as error:
        if ending is AnswerProblem.CUT and error.problem in _LOOKS_CUT:
            raise InvalidAnswer(AnswerProblem.CUT) from None
        raise
