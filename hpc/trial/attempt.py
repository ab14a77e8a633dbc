"""Label a few posts with one configuration in this process, as a task would, and keep nothing."""

import contextlib
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hpc.display.run.usage import cost_of
from hpc.display.system_error import describe_error
from hpc.run.model.run import Say
from hpc.trial.candidates import Candidate
from hpc.trial.watch_trouble import show_trouble
from pipeline.classifiers import frozen_classifier
from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.options import Options
from pipeline.config.secret import NO_KEY
from pipeline.errors import Cause, InputError, RunError, TaskError
from pipeline.messages.options import TRACEBACK
from pipeline.model import Answer, Column, Post
from pipeline.run_files.answer_row import AnswerRows
from pipeline.terminal import one_line
from pipeline.usage import COMPLETION, PROMPT, count_columns


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What one configuration answered."""

    candidate: Candidate
    """The configuration."""
    columns: tuple[Column, ...] = ()
    """The columns of its labels."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """By uri, of the posts that got an answer."""

    seconds: float = 0.0
    """How long it took, with loading a model and waiting for a quota."""

    error: str = ""
    """Why it ended early; '' if it did not."""

    traceback: str = ""
    """Where the error came from, without the key; '' without an error."""

    is_interrupted: bool = False
    """Whether Ctrl-C ended it."""

    @property
    def labeled(self) -> int:
        """How many posts got labels."""
        return sum(answer.values is not None for answer in self.answers.values())

    @property
    def counts(self) -> Mapping[str, int]:
        """The sums of what the answers cost, by column; what no answer reports is left out."""
        sums: Counter[str] = Counter()
        names = count_columns(self.columns)
        for answer in self.answers.values():
            reported = {name: answer.facts.get(name) for name in names}
            sums.update({name: n for name, n in reported.items() if isinstance(n, int)})
        return sums

    @property
    def cost(self) -> float | None:
        """What the answers that report their tokens cost in `currency`; None if none does."""
        return cost_of(self.counts, self.candidate.cost_options.price)

    @property
    def unpriced(self) -> int:
        """How many answers do not report their tokens, and are not part of `cost`."""
        return sum(
            answer.facts.get(PROMPT) is None or answer.facts.get(COMPLETION) is None
            for answer in self.answers.values()
        )

    @property
    def currency(self) -> str | None:
        """The currency of the configured price."""
        price = self.candidate.cost_options.price
        return price.currency if price else None


@dataclass(kw_only=True, slots=True)
class _Labeling:
    """What is known of an attempt while it is made."""

    columns: tuple[Column, ...] = ()
    answers: dict[str, Answer] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""
    is_interrupted: bool = False


def label_posts(candidate: Candidate, posts: Sequence[Post], say: Say) -> Attempt:
    """Return what a configuration answers. An error or Ctrl-C ends it early and is recorded.

    Args:
        candidate: the configuration.
        posts: the posts, each uri once.
        say: receives what is wrong with the service while it lasts, in another thread.
    """
    attempt = _Labeling()
    began = time.monotonic()
    secret = NO_KEY

    def fail(error: BaseException, message: str) -> None:
        attempt.error = one_line(secret.redact(message), 500)
        attempt.traceback = secret.redact("".join(traceback.format_exception(error)))

    try:
        with _classifier(candidate) as classifier:
            secret = classifier.secret
            try:
                with show_trouble(classifier, candidate.title, say):
                    _ask(classifier, posts, attempt)
            except KeyboardInterrupt:
                # What a service that does not answer says is why people lose patience.
                if trouble := classifier.trouble:
                    attempt.error = one_line(secret.redact(f"interrupted: {trouble}"), 500)
                raise
    except KeyboardInterrupt:
        attempt.is_interrupted = True
    except (TaskError, InputError, RunError) as error:
        fail(error, str(error))
    except (OSError, MemoryError) as error:
        fail(error, describe_error(error))
    # The contract of a classifier allows other exceptions, of an unknown cause. Some libraries even
    # end the process. A task records them all as its last words, and so does this.
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the other configurations still run
        fail(error, f"{type(error).__name__}: {error} (see also {TRACEBACK})")
    return Attempt(
        candidate=candidate,
        columns=attempt.columns,
        answers=attempt.answers,
        seconds=time.monotonic() - began,
        error=attempt.error,
        traceback=attempt.traceback,
        is_interrupted=attempt.is_interrupted,
    )


@contextlib.contextmanager
def _classifier(candidate: Candidate) -> Iterator[Classifier[Options]]:
    """Make a classifier, and close it at the end of the block, however it ends."""
    stopping = threading.Event()
    share = TaskShare(stopping=stopping)
    with contextlib.closing(
        frozen_classifier.create(candidate.classifier, share, source=str(candidate.file))
    ) as classifier:
        try:
            yield classifier
        finally:
            stopping.set()


def _ask(classifier: Classifier[Options], posts: Sequence[Post], attempt: _Labeling) -> None:
    attempt.columns = classifier.columns
    rows = AnswerRows(classifier.columns, keep_raw=False)
    asked = {post.uri for post in posts}
    for answer in classifier.classify(posts):
        if answer.uri not in asked or answer.uri in attempt.answers:
            raise TaskError(
                Cause.REFUSED, f"the classifier answered about {answer.uri}, which is not asked now"
            )
        rows.build(answer, datetime.now(UTC))  # raises TaskError for values that no table can hold
        attempt.answers[answer.uri] = answer
    missing = asked - attempt.answers.keys()
    if missing:
        raise TaskError(
            Cause.CRASHED, f"the classifier left {len(missing)} of {len(asked)} posts unanswered"
        )
