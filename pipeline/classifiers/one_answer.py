"""Ask a classifier about one post, for a check that should end within seconds and leave nothing."""

import threading
import time
from contextlib import closing
from dataclasses import dataclass

from pipeline.classifiers import frozen_classifier
from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.options import Options
from pipeline.errors import Cause, InputError, RunError, TaskError
from pipeline.model import Answer, JsonObject, Post
from pipeline.terminal import one_line

PATIENCE_S = 30.0
# A task waits out an outage. A check reports it once nothing has got through for so long.
TROUBLE_PATIENCE_S = 5.0
_LOOK_S = 0.2
_LONGEST_ERROR = 500
# Only a manifest may hold null for it: then nothing is written to the folder that tasks share.
_PACE = "requests_per_minute"
_TIMEOUT = "timeout_seconds"


@dataclass(frozen=True, kw_only=True, slots=True)
class OneAnswer:
    """What a classifier said about one post."""

    answer: Answer | None = None
    """The answer; None if there is none."""
    error: str = ""
    """Why there is none, without the API key; '' if there is one."""
    cause: Cause | None = None
    """The cause that a task would report; None if there is an answer, or the cause is unknown."""
    seconds: float = 0.0
    """How long it took, with everything that a task prepares before its first answer."""


def ask_once(frozen: JsonObject, post: Post, *, patience_s: float = PATIENCE_S) -> OneAnswer:
    """Label one post as a task would, but outside the quota that tasks share.

    A classifier may send more than one request, to learn what its service can do. An error is
    returned, not raised.

    Args:
        frozen: the manifest's `classifier`.
        post: the post.
        patience_s: after how many seconds to give up.
    """
    began = time.monotonic()
    options = _for_one_post(frozen, patience_s)
    stopping = threading.Event()
    answer, error, cause = None, "", None
    try:
        share = TaskShare(stopping=stopping)
        with closing(
            frozen_classifier.create(options, share, source="the configuration")
        ) as classifier:
            watcher = threading.Thread(
                target=_give_up_in_time, args=(classifier, stopping, patience_s), daemon=True
            )
            watcher.start()
            answer, error, cause = _ask(classifier, post, patience_s)
    except TaskError as failure:
        error, cause = str(failure), failure.cause
    except (InputError, RunError, OSError, MemoryError) as failure:
        error = str(failure) or type(failure).__name__
    # The contract of a classifier allows other exceptions, of an unknown cause. Some libraries even
    # end the process.
    except (Exception, SystemExit) as failure:  # noqa: BLE001 - the other checks still run
        error = f"{type(failure).__name__}: {failure}"
    finally:
        stopping.set()
    return OneAnswer(
        answer=answer,
        error=one_line(error, _LONGEST_ERROR),
        cause=cause,
        seconds=time.monotonic() - began,
    )


def _for_one_post(frozen: JsonObject, patience_s: float) -> JsonObject:
    """Return the options without a shared quota, and with no longer wait for a response."""
    options = {**frozen, _PACE: None} if _PACE in frozen else {**frozen}
    timeout_s = options.get(_TIMEOUT)
    if isinstance(timeout_s, int | float):
        options[_TIMEOUT] = min(float(timeout_s), patience_s)
    return options


def _ask(
    classifier: Classifier[Options], post: Post, patience_s: float
) -> tuple[Answer | None, str, Cause | None]:
    """Return the answer, or why there is none, with the API key taken out."""
    secret = classifier.secret
    try:
        answers = [answer for answer in classifier.classify([post]) if answer.uri == post.uri]
    except TaskError as failure:
        return None, secret.redact(str(failure)), failure.cause
    except (OSError, RunError) as failure:
        return None, secret.redact(str(failure)), None
    if answers:
        return answers[0], "", None
    return None, secret.redact(classifier.trouble) or f"no answer in {patience_s:g} s", None


def _give_up_in_time(
    classifier: Classifier[Options], stopping: threading.Event, patience_s: float
) -> None:
    """Ask the classifier to stop once it has had no answer, or only trouble, for long enough."""
    end = time.monotonic() + patience_s
    trouble_since: float | None = None
    while not stopping.wait(_LOOK_S):
        now = time.monotonic()
        trouble_since = (trouble_since or now) if classifier.trouble else None
        if now > end or (trouble_since and now - trouble_since > TROUBLE_PATIENCE_S):
            stopping.set()
