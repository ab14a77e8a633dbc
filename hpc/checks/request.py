"""Ask a classifier about one post from this machine, and judge the answer."""

import contextlib
import sys
from dataclasses import dataclass

from hpc.checks.finding import Finding, Part, error, ok, warning
from pipeline.classifiers import frozen_classifier
from pipeline.classifiers.one_answer import OneAnswer, ask_once
from pipeline.config.check import Problems
from pipeline.errors import Cause
from pipeline.messages.options import NO_REQUEST
from pipeline.model import Answer, JsonObject, Post
from pipeline.run_files.manifest import EXTERNAL
from pipeline.terminal import one_line
from pipeline.text import format_duration

# Any service can label it, and it is nobody's.
SAMPLE = Post("at://hpc/check/1", "What a lovely day. I hope that you enjoy it as much as I do.")
_SHOWN = 80
_MOST_LABELS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenRequest:
    """How asking the classifier about one post went."""

    where: str
    """The address of the service; '' if there is none."""
    starts_slowly: bool
    """Whether a task prepares for minutes, so that nothing was asked."""
    is_skipped: bool = False
    """Whether a person wanted no request."""
    lacks_key: bool = False
    """Whether nothing was asked because there is no API key."""
    missing: tuple[str, ...] | None = None
    """What a task would miss on this machine; None if tasks run elsewhere."""
    is_elsewhere: bool = False
    """Whether another engine labels the posts, so that there is nothing to ask."""
    result: OneAnswer | None = None
    """The result; None if nothing was asked."""


def service_address(frozen: JsonObject) -> str:
    """Return where the classifier sends requests; '' if it sends none to a service that runs."""
    request = frozen_classifier.render_request(frozen, [SAMPLE])
    return request.url if request and "://" in request.url else ""


def observe_request(
    frozen: JsonObject, post: Post, *, is_wanted: bool, lacks_key: bool, runs_here: bool = False
) -> SeenRequest:
    """Ask about one post, unless nobody wants that, it takes minutes, or there is no key.

    Args:
        frozen: the manifest's `classifier`.
        post: the post.
        is_wanted: whether a request may be sent.
        lacks_key: whether the API key is missing.
        runs_here: whether the tasks run on this machine.
    """
    where = service_address(frozen)
    seen = SeenRequest(
        where=where,
        starts_slowly=frozen_classifier.starts_slowly(frozen),
        missing=_find_missing(frozen)
        if runs_here and frozen_classifier.starts_slowly(frozen)
        else None,
        is_skipped=not is_wanted,
        lacks_key=lacks_key,
        is_elsewhere=frozen[frozen_classifier.TYPE] == EXTERNAL,
    )
    if seen.is_elsewhere or seen.starts_slowly or seen.is_skipped or seen.lacks_key:
        return seen
    # Classifiers print notes for the log of a task.
    with contextlib.redirect_stdout(sys.stderr):
        result = ask_once(frozen, post)
    return SeenRequest(where=where, starts_slowly=False, result=result)


def _find_missing(frozen: JsonObject) -> tuple[str, ...]:
    problems = Problems()
    frozen_classifier.check_on_node(frozen, source="this machine", problems=problems)
    return tuple(f"{problem.path}: {problem.text}" for problem in problems.found)


def judge_request(seen: SeenRequest) -> list[Finding]:
    """Say whether the classifier answers from here."""
    if seen.is_elsewhere:
        return [ok(Part.REQUEST, "not sent, because another engine labels the posts")]
    if seen.missing:
        remedy = "put it where the configuration says, or correct the section classifier"
        return [error(Part.REQUEST, f"a task would lack: {lack}", remedy) for lack in seen.missing]
    if seen.starts_slowly:
        message = "not tried, because a task loads a model or starts a server first"
        next_check = (
            "hpc try asks it" if seen.missing == () else "hpc check --node looks for its files"
        )
        return [ok(Part.REQUEST, f"{message}. {next_check}")]
    if seen.lacks_key:
        return [warning(Part.REQUEST, "not sent, because there is no API key", "set the key first")]
    if seen.is_skipped or seen.result is None:
        return [ok(Part.REQUEST, f"not sent ({NO_REQUEST})")]
    return [judge_answer(Part.REQUEST, seen.where, seen.result)]


def judge_answer(part: Part, where: str, result: OneAnswer, place: str = "") -> Finding:
    """Say what became of one post.

    Args:
        part: what the finding is about.
        where: the address of the service; '' without one.
        result: the answer.
        place: from where it was asked, in words that begin a sentence; '' for this machine.
    """
    if result.answer is None:
        if result.cause is Cause.THROTTLED:
            remedy = "wait until the quota has room, or lower classifier.requests_per_minute"
            return warning(part, f"{place}{result.error}", remedy)
        return error(part, f"{place}{result.error}", _remedy(where))
    took = format_duration(result.seconds)
    by = f" by {where}" if where else ""
    if result.answer.values is None:
        message = f"{place}one post was answered{by} in {took}, without a label: "
        remedy = "try more posts with hpc try, and look at the prompt and the labels"
        return warning(part, message + one_line(str(result.answer.reason), _SHOWN), remedy)
    return ok(part, f"{place}one post was labeled{by} in {took}: {_labels(result.answer)}")


def _labels(answer: Answer) -> str:
    values = list((answer.values or {}).items())
    shown = ", ".join(f"{name} {_shorten(value)}" for name, value in values[:_MOST_LABELS])
    return shown + (", …" if len(values) > _MOST_LABELS else "")


def _shorten(value: object) -> str:
    return f"{value:z.3g}" if isinstance(value, float) else one_line(str(value), _SHOWN)


def _remedy(where: str) -> str:
    if not where:
        return "correct the section classifier; hpc try shows more"
    return (
        "correct the key, classifier.base_url or the model, or start the service; hpc try asks it"
    )
