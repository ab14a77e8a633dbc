"""Talk to a moderation endpoint: send texts, and judge failures."""

import dataclasses
import threading
from collections.abc import Sequence

from pipeline.classifiers.llm import chat
from pipeline.classifiers.moderation.options import MODERATIONS_PATH, ModerationOptions
from pipeline.classifiers.moderation.reply import InvalidReply, Result, read_results
from pipeline.classifiers.rejections import Rejections
from pipeline.classifiers.unlabeled_streak import MOST_UNLABELED
from pipeline.config.secret import Secret
from pipeline.errors import Cause, TaskError
from pipeline.model import JsonObject, as_object
from pipeline.service.activity import ServiceActivity
from pipeline.service.endpoint import Endpoint
from pipeline.service.http_reply import Reply
from pipeline.service.quota.rate_limiter import until_next_minute
from pipeline.service.quota.shared_rate_limiter import open_rate_limiter
from pipeline.service.service import ReplyRules, RequestPolicy, Service

FIXED_SENTENCE = "The sun is out today."
"""What the service is probed with, and what is sent along with several posts."""

_PAYMENT_REQUIRED = 402
_WRONG_PLACE_OR_KEY = frozenset({*range(300, 400), 401, 403, 404, 405, 410})


class ModerationEndpoint:
    """The moderation endpoint of one task, for many threads."""

    def __init__(self, options: ModerationOptions, secret: Secret, policy: RequestPolicy) -> None:
        """Send nothing yet."""
        self._options = options
        self._secret = secret
        self._known: Result | None = None
        key = secret.reveal()
        self._limiter = open_rate_limiter(
            options.requests_per_minute,
            options.quota_folder,
            owner=f"{options.base_url} {key}",
        )
        self._endpoint = Endpoint(
            Service(
                url=options.url,
                path=MODERATIONS_PATH,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                secret=secret,
                connections=options.max_in_flight,
            ),
            limiter=self._limiter,
            policy=dataclasses.replace(
                policy,
                timeout_s=options.timeout_seconds,
                until_quota_resets=until_next_minute if options.requests_per_minute else None,
            ),
            rules=ReplyRules(
                probe=lambda _: self.request([FIXED_SENTENCE]),
                answers=self._is_answer,
                is_complete=lambda body: isinstance(as_object(body).get("results"), list),
            ),
        )
        self._rejections = Rejections(self._endpoint, self._fault)

    @property
    def trouble(self) -> str:
        """What is wrong at the moment, without the key; '' if nothing is."""
        return self._limiter.trouble or self._endpoint.trouble

    @property
    def activity(self) -> ServiceActivity:
        """What was sent lately, and which faults came back."""
        return self._endpoint.activity()

    def waiting(self) -> int:
        """Return how many requests wait to be sent again."""
        return self._endpoint.waiting()

    def close(self) -> None:
        """Give the share of the quota back."""
        self._limiter.close()

    def request(self, texts: Sequence[str]) -> JsonObject:
        """Return the request about some texts."""
        return build_request(self._options, texts)

    def post(self, texts: Sequence[str], stop: threading.Event) -> Reply:
        """Send texts, and return the reply. Raises as `Endpoint.post`."""
        return self._endpoint.post(self.request(texts), stop)

    def known_result(self, stop: threading.Event) -> Result:
        """Return the result of the fixed sentence, for which the service is asked once.

        Raises:
            TaskError: the service does not answer, or has not all of the configured categories.
            Stopped: `stop` was set first.
        """
        if self._known is None:
            self._known = self._ask_fixed_sentence(stop)
            missing = [
                name for name in self._options.category_names if name not in self._known.scores
            ]
            if missing:
                raise TaskError(
                    Cause.REFUSED,
                    f"{self._endpoint.url} has no category {', '.join(missing)} with the model "
                    f"{self._options.model}; it has {self._shown_categories(self._known)}: "
                    "correct classifier.categories",
                )
        return self._known

    def prove_scores(self, stop: threading.Event) -> None:
        """Raise TaskError if the fixed sentence gets no valid scores now."""
        self._ask_fixed_sentence(stop)

    def check_access(self, reply: Reply) -> None:
        """Raise TaskError if the service rejects every request, whatever its texts are."""
        self._rejections.check_access(reply)

    def failure_reason(self, reply: Reply, stop: threading.Event) -> str:
        """Return why a post has no label after a reply other than 200.

        Raises:
            TaskError: no post would get a label.
            Stopped: `stop` was set first.
        """
        self._rejections.check_is_posts_own(
            reply, stop, is_about_the_text=chat.is_about_the_text(reply.body)
        )
        return chat.rejection_reason(reply, self._secret)

    def no_post_labeled(self, problem: InvalidReply, reply: Reply) -> TaskError:
        """Return the end of a task that gets scores for the fixed sentence, but for no post."""
        return TaskError(
            Cause.REFUSED,
            f"{self._endpoint.url}: the first {MOST_UNLABELED} posts of this task got no valid "
            f'scores, although "{FIXED_SENTENCE}" gets some: {problem}: {reply.summary}',
        )

    def _ask_fixed_sentence(self, stop: threading.Event) -> Result:
        reply = self.post([FIXED_SENTENCE], stop)
        if reply.status != 200:
            raise self._fault(reply)
        try:
            (result,) = results_of(reply, 1)
        except InvalidReply as problem:
            raise TaskError(
                Cause.REFUSED,
                f'{self._endpoint.url} gives no valid scores for "{FIXED_SENTENCE}": {problem}: '
                f"{reply.summary}: check classifier.base_url and model",
            ) from None
        return result

    def _is_answer(self, request: JsonObject, reply: Reply) -> bool:
        try:
            return bool(results_of(reply, len(request["input"])))
        except InvalidReply:
            return False

    def _fault(self, reply: Reply) -> TaskError:
        """Return the end of the task after a reply that every post would get."""
        cause = self._endpoint.outage_cause if reply.failed else Cause.REFUSED
        return TaskError(cause, f"{self._endpoint.url}: {reply.summary}: {_advice(reply)}")

    def _shown_categories(self, result: Result) -> str:
        names = [name for name in sorted(result.scores) if name.isprintable() and len(name) <= 64]
        return self._secret.redact(", ".join(names[:40]))


def build_request(options: ModerationOptions, texts: Sequence[str]) -> JsonObject:
    """Return the request about some texts."""
    return {"model": options.model, "input": list(texts)}


def results_of(reply: Reply, count: int) -> tuple[Result, ...]:
    """Return the results of a reply about `count` texts. Raises InvalidReply."""
    if reply.problem:
        raise InvalidReply(reply.problem)
    return read_results(reply.body, count)


def _advice(reply: Reply) -> str:
    if reply.status == _PAYMENT_REQUIRED or (reply.is_final and reply.retry is not False):
        return "the key has no credit or quota left: add some, or use another key"
    if reply.status in _WRONG_PLACE_OR_KEY:
        return "check classifier.base_url, model and key"
    return "check classifier.base_url and model"
