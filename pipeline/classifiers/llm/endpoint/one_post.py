"""Ask one question about one post until an answer is valid."""

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.classifiers.llm import chat
from pipeline.classifiers.llm.answer_problems import InvalidAnswer
from pipeline.classifiers.llm.chat_service import ChatService
from pipeline.classifiers.llm.endpoint.question import BilledReply, Question, Values
from pipeline.errors import TaskError
from pipeline.model import Post


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a question about a post came to: values, or the reason why there are none."""

    values: Values | None = None
    """The values of the label columns; None without a label."""

    reason: str | None = None
    """Why there is no label; None with one."""

    fault: Callable[[], TaskError] | None = None
    """Returns the end of the task if no post gets a label; None if that is this text's own."""


def ask(
    service: ChatService,
    question: Question,
    post: Post,
    billed: list[BilledReply],
    stop: threading.Event,
) -> Outcome:
    """Send one post until its answer is valid, at most `question.tries` times.

    With a seed, a server that has given the same invalid answer twice is not paid for a third.

    Args:
        service: the model's server.
        question: what to ask.
        post: the post.
        billed: gets all replies; those that it holds already are left alone.
        stop: set when the answer is no longer wanted.

    Raises:
        TaskError: no post would get a label.
        Stopped: `stop` was set first.
    """
    outcome = Outcome()
    for attempt in range(question.tries):
        reply = service.post(functools.partial(question.single, post, attempt=attempt), stop)
        billed.append(BilledReply(reply=reply))
        if reply.status != 200:
            return Outcome(reason=service.failure_reason(reply, stop))
        try:
            return Outcome(values=question.values(reply))
        except InvalidAnswer as invalid:
            fault = None
            if not invalid.facts.is_about_the_text:
                fault = functools.partial(service.no_post_labeled, invalid, reply)
            outcome = Outcome(reason=invalid.reason, fault=fault)
            if not invalid.facts.is_asked_again or _is_settled(question, attempt, billed):
                break
    return outcome


def _is_settled(question: Question, attempt: int, billed: Sequence[BilledReply]) -> bool:
    """Report whether the same question got the same answer twice, as it would once more."""
    if attempt == 0 or not question.is_same_question(attempt):
        return False
    return chat.is_same_answer(billed[-2].reply.body, billed[-1].reply.body)
