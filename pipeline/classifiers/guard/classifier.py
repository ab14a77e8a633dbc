"""Label posts with a guard model, in the form that it was trained on.

Such a model gets a text and a policy, and answers with one word. The word is the label, and its
probability is the score.
"""

import json
import threading
from collections.abc import Iterator, Sequence

from pipeline import usage
from pipeline.classifiers.base import RenderedRequest, TaskShare
from pipeline.classifiers.guard.check_template import check_template, read_template
from pipeline.classifiers.guard.options import CATEGORIES, GuardOptions
from pipeline.classifiers.guard.question import GuardQuestion
from pipeline.classifiers.llm.endpoint.classifier import EndpointClassifier
from pipeline.classifiers.llm.endpoint.one_post import ask
from pipeline.classifiers.llm.endpoint.options import find_places
from pipeline.classifiers.llm.endpoint.question import BilledReply, Values, tokens_of
from pipeline.classifiers.llm.labels import MODEL_COLUMN
from pipeline.config.input_files import InputFiles
from pipeline.model import Answer, Column, ColumnKind, Post
from pipeline.service.concurrency import map_concurrently
from pipeline.service.endpoint import Stopped


class Guard(EndpointClassifier[GuardOptions]):
    """Gives the label or labels, their probabilities, `llm_model_name`, and the tokens used."""

    options_type = GuardOptions
    needs_numpy = False

    @classmethod
    def freeze(cls, options: GuardOptions, inputs: InputFiles) -> GuardOptions:
        """Read the template and check it, and find the API key and the quota folder."""
        places = find_places(options, inputs)
        frozen = read_template(places, inputs)
        if frozen is None:  # nothing more can be said about a template that is not there
            return places
        check_template(frozen, inputs)
        return frozen

    @classmethod
    def declared(cls, options: GuardOptions) -> tuple[Column, ...]:
        """Return the columns of the labels and of the tokens."""
        labels = [column for asked in options.asked for column in options.columns_of(asked.label)]
        if options.categories:
            labels.append(Column(CATEGORIES, ColumnKind.TEXT))
        return (*labels, Column(MODEL_COLUMN, ColumnKind.TEXT), *usage.COLUMNS)

    @classmethod
    def render_request(cls, options: GuardOptions, posts: Sequence[Post]) -> RenderedRequest:
        """Return the first request about the first of these posts."""
        first, *others = (GuardQuestion(options, asked) for asked in options.asked)
        note = ""
        if others:
            labels = ", ".join(question.label for question in others)
            note = f"this asks for {first.label}; each post is also asked for {labels}"
        return RenderedRequest(
            url=cls.address(options, first.path), body=first.preview(posts[0]), note=note
        )

    def __init__(self, options: GuardOptions, share: TaskShare) -> None:
        """Read the API key; send nothing yet."""
        self._questions = tuple(GuardQuestion(options, asked) for asked in options.asked)
        super().__init__(options, share, self._questions)
        self.columns = self.declared(options)

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """Yield one answer per post, as described by the base class."""
        try:
            if posts:
                self._service.detect_capabilities()
            yield from map_concurrently(
                posts,
                self._ask,
                limit=self._options.max_in_flight,
                stopping=self._stopping,
                waiting=self._service.waiting,
            )
            self._streak.check(self._stopping)
        except Stopped:  # the task was asked to stop before the first post was sent
            return

    def _ask(self, post: Post, stop: threading.Event) -> Answer:
        """Ask all questions about a post, one after another, until one gets no label."""
        self._streak.check(stop)
        billed: list[BilledReply] = []
        values: Values = {}
        for question in self._questions:
            outcome = ask(self._service, question, post, billed, stop)
            if outcome.values is None:
                break
            values |= outcome.values
        labels = None if outcome.values is None else values
        answer = Answer(post.uri, labels, outcome.reason, tokens_of(billed), self._raw(billed))
        return self._streak.count(answer, outcome.fault)

    def _raw(self, billed: Sequence[BilledReply]) -> str | None:
        """Return the responses about a post: the only one as it came, several by label."""
        if not self._options.keep_raw:
            return None
        texts = [part.reply.text for part in billed]
        if len(self._questions) == 1:
            return texts[-1]
        labels = (question.label for question in self._questions)
        return json.dumps(dict(zip(labels, texts, strict=False)), ensure_ascii=False)
