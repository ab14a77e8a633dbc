"""Talk to the model's server: detect what it supports, send requests, and judge its failures."""

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence

from pipeline import limits
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.llm import chat, output_modes
from pipeline.classifiers.llm.answer_problems import InvalidAnswer
from pipeline.classifiers.llm.endpoint.options import EndpointOptions
from pipeline.classifiers.llm.endpoint.question import PROBE, Question
from pipeline.classifiers.llm.failing_settings import find_failing_settings
from pipeline.classifiers.llm.output_modes import UNCONSTRAINED, ServerCapabilities
from pipeline.classifiers.llm.request_fields import find_rejected_field
from pipeline.classifiers.llm.server import server
from pipeline.classifiers.rejections import Rejections
from pipeline.classifiers.unlabeled_streak import MOST_UNLABELED
from pipeline.config.secret import Secret
from pipeline.errors import Cause, TaskError
from pipeline.model import JsonObject
from pipeline.service.activity import ServiceActivity
from pipeline.service.address import with_path
from pipeline.service.endpoint import Endpoint
from pipeline.service.http_reply import Reply
from pipeline.service.quota.rate_limiter import until_next_minute
from pipeline.service.quota.shared_rate_limiter import open_rate_limiter
from pipeline.service.service import ReplyRules, RequestPolicy, Service
from pipeline.terminal import one_line

# A test sentence that gets one of these says that no request can succeed.
_WRONG_PLACE_OR_KEY = frozenset({*range(300, 400), 401, 403, 404, 405, 410, 429})
_PAYMENT_REQUIRED = 402
_SHOWN_CHARACTERS = 300

BuildRequest = Callable[[ServerCapabilities], JsonObject]
"""Returns the request for a server with these capabilities."""


class ChatService:
    """The server of one task's model, for many threads."""

    def __init__(
        self,
        options: EndpointOptions,
        share: TaskShare,
        secret: Secret,
        questions: Sequence[Question],
    ) -> None:
        """Send nothing yet, and start no server.

        Args:
            options: the classifier's options.
            share: what the task has in common with others.
            secret: the API key.
            questions: what is asked about every post. Their form is the same, so that the first
                one shows what the server supports.
        """
        self._questions = tuple(questions)
        self._question = first = self._questions[0]
        self._secret = secret
        self._notes = share.notes
        self._stopping = share.stopping
        self._capabilities = ServerCapabilities(mode=UNCONSTRAINED)
        self._is_detected = False
        key = secret.reveal()
        self._server = server.of_task(options.server, options.model, share, secret)
        # The key alone does not identify a quota: many servers accept any key, and each has its
        # own limits.
        self._limiter = open_rate_limiter(
            options.requests_per_minute,
            options.quota_folder,
            owner=f"{options.base_url} {key}",
        )
        self._endpoint = Endpoint(
            Service(
                url=with_path(options.base_url or "", first.path),
                path=first.path,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                secret=secret,
                connections=options.max_in_flight,
                most_bytes=limits.ANSWER_BYTES + limits.LOGPROB_BYTES * first.answer_entries,
                server=self._server.address if self._server else None,
                listener=self._server.listener if self._server else None,
            ),
            limiter=self._limiter,
            policy=RequestPolicy(
                timeout_s=options.timeout_seconds,
                until_quota_resets=until_next_minute if options.requests_per_minute else None,
            ),
            rules=ReplyRules(
                probe=lambda _: first.single(PROBE, self._capabilities),
                is_complete=chat.is_completion,
            ),
        )
        self._rejections = Rejections(self._endpoint, self._fault)

    @property
    def trouble(self) -> str:
        """What is wrong at the moment, without the key; '' if nothing is."""
        server_trouble = self._server.trouble if self._server else ""
        return server_trouble or self._limiter.trouble or self._endpoint.trouble

    @property
    def activity(self) -> ServiceActivity:
        """What was sent lately, and which faults came back."""
        return self._endpoint.activity()

    def waiting(self) -> int:
        """Return how many requests wait to be sent again."""
        return self._endpoint.waiting()

    def close(self) -> None:
        """Give the share of the quota back, and end the task's own server."""
        self._limiter.close()
        if self._server:
            self._server.close()

    def detect_capabilities(self) -> None:
        """Detect what the server supports and prove that it labels, at the first call.

        Another task of the run may have noted that before.

        Raises:
            TaskError: the server rejects every request, does not answer, labels nothing, or lacks
                something that is needed.
            Stopped: the task was asked to stop first.
        """
        if self._is_detected:
            return
        request = self._question.probe_request
        detected = output_modes.detect_capabilities(request, self._notes, self._probe)
        if request.top_logprobs and not detected.top_logprobs:
            if request.needs_logprobs:
                raise self._without_logprobs(detected)
            print(f"{request.server} gives no logprobs: no label has a probability", flush=True)
        self._capabilities, self._is_detected = detected, True

    def prove_labels(self, stop: threading.Event) -> None:
        """Ask for the labels of the fixed sentence, exactly as for those of a post.

        Args:
            stop: set when the answer is no longer wanted.

        Raises:
            TaskError: there are no valid labels in `answer_tries` answers, so no post would be
                labeled.
            Stopped: `stop` was set first.
        """
        for question in self._questions:
            self._prove_label(question, stop)

    def _prove_label(self, question: Question, stop: threading.Event) -> None:
        for attempt in range(question.tries):
            build = functools.partial(question.single, PROBE, attempt=attempt)
            reply = self.post(build, stop)
            if reply.status != 200:
                raise self._fault(reply)
            try:
                question.values(reply)
            except InvalidAnswer as invalid:
                problem = invalid
            else:
                return
            if not problem.facts.is_asked_again:
                break
        self._forget_capabilities()
        words = f'the fixed sentence "{PROBE.text}" gets no label, so posts would get none'
        raise self._without_label(words, problem, reply)

    def no_post_labeled(self, problem: InvalidAnswer, reply: Reply) -> TaskError:
        """Return the end of a task that labels the fixed sentence, but none of its posts.

        Args:
            problem: why the last answer holds no label.
            reply: the last answer.
        """
        words = (
            f"the first {MOST_UNLABELED} posts of this task got answers and no label, although the "
            f'fixed sentence "{PROBE.text}" gets one'
        )
        return self._without_label(words, problem, reply)

    def post(
        self, build: BuildRequest, stop: threading.Event, attempts: int | None = None
    ) -> Reply:
        """Send a request, and return the reply.

        A server that does not accept `max_tokens` gets the other field, now and from then on. This
        is detected here, because there may be no probe, and notes of earlier versions do not say.

        Args:
            build: returns the request.
            stop: set when the reply is no longer wanted.
            attempts: how often to send it, as in `Endpoint.post`.

        Raises:
            TaskError: as `Endpoint.post`.
            Stopped: as `Endpoint.post`.
        """
        capabilities = self._capabilities
        reply = self._endpoint.post(build(capabilities), stop, attempts=attempts)
        rejected_field = chat.unsupported_field(reply.body)
        if capabilities.token_limit_field == chat.MAX_TOKENS == rejected_field:
            self._capabilities = dataclasses.replace(
                capabilities, token_limit_field=chat.MAX_COMPLETION_TOKENS
            )
            reply = self._endpoint.post(build(self._capabilities), stop, attempts=attempts)
        return reply

    def check_access(self, reply: Reply) -> None:
        """Raise TaskError if the server rejects every request, whatever its text is."""
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
        if category := self._secret.redact(chat.category(reply.body)):
            return category
        return chat.rejection_reason(reply, self._secret)

    def _fault(self, reply: Reply) -> TaskError:
        """Return the end of the task after a reply that every post would get.

        What is noted about the server may be the reason, so it is forgotten.
        """
        self._forget_capabilities()
        cause = self._endpoint.outage_cause if reply.failed else Cause.REFUSED
        return TaskError(cause, f"{self._endpoint.url}: {reply.summary}{self._advice(reply)}")

    def _advice(self, reply: Reply) -> str:
        """Return what to do about a reply that every post gets. What changes labels stays."""
        if chat.unsupported_field(reply.body) == "temperature":
            return ": set classifier.temperature to null to use the model's own"
        if field := find_rejected_field(reply.body, self._question.probe_request.fields):
            return f": the server rejects classifier.request.{field}: change or remove it"
        if reply.status == _PAYMENT_REQUIRED or (reply.is_final and reply.retry is not False):
            return ": the key has no credit or quota left: add some, or use another key"
        if reply.status in _WRONG_PLACE_OR_KEY:
            return ": check classifier.base_url, model and key"
        return ""

    def _without_label(self, words: str, problem: InvalidAnswer, reply: Reply) -> TaskError:
        # Redact before anything is cut off: half a key would not be recognized.
        answer = one_line(self._secret.redact(chat.shown(reply.body)), _SHOWN_CHARACTERS)
        reason = one_line(self._secret.redact(problem.reason), _SHOWN_CHARACTERS)
        return TaskError(
            Cause.REFUSED,
            f"{self._endpoint.url}: {words}: {reason}: {problem.facts.advice}. The answer was: "
            f"{answer}",
        )

    def _without_logprobs(self, detected: ServerCapabilities) -> TaskError:
        """Return the end of a task whose answers would have no probability."""
        self._forget_capabilities()
        findings = "; ".join(f"{way}: {finding}" for way, finding in detected.findings.items())
        said = one_line(self._secret.redact(findings), _SHOWN_CHARACTERS)
        return TaskError(
            Cause.REFUSED,
            f"{self._endpoint.url}: the server gives no logprobs{said and f' ({said})'}: start it "
            "with logprobs, or set classifier.scores to false for labels without probabilities",
        )

    def _forget_capabilities(self) -> None:
        output_modes.forget_capabilities(self._question.probe_request, self._notes)

    def _probe(self) -> ServerCapabilities:
        """Ask the server; if it fails at a field of the request, say which."""
        try:
            return self._detect()
        except TaskError as fault:
            if fault.cause is not self._endpoint.outage_cause:
                raise
            request = self._question.single(PROBE, self._capabilities)
            settings = find_failing_settings(request, self._is_answered_at_once)
            if not settings:
                raise
            raise TaskError(
                Cause.REFUSED,
                f"{fault}: the server answers without {' and '.join(settings)}: change that, or "
                "take it out",
            ) from None

    def _is_answered_at_once(self, request: JsonObject) -> bool:
        return self._endpoint.post(request, self._stopping, attempts=1).status == 200

    def _detect(self) -> ServerCapabilities:
        """Ask the server, first without constraints and with all attempts.

        A server that is still starting must not be mistaken for one that supports nothing.
        """
        stop, request = self._stopping, self._question.probe_request
        if request.is_needed:
            reply = self.post(functools.partial(self._question.single, PROBE), stop)
            if reply.status != 200:
                raise self._fault(reply)
        detected = output_modes.probe_server(request, functools.partial(self._send_probe, stop))
        self._capabilities = dataclasses.replace(
            detected, token_limit_field=self._capabilities.token_limit_field
        )
        self.prove_labels(stop)
        return dataclasses.replace(detected, token_limit_field=self._capabilities.token_limit_field)

    def _send_probe(self, stop: threading.Event, fields: JsonObject) -> Reply:
        reply = self.post(
            lambda capabilities: self._question.probe(capabilities, fields), stop, attempts=2
        )
        # Any other status may be about these fields alone, such as OpenAI's 403 on logprobs. The
        # request for labels, which comes next, shows whether the server still answers.
        self.check_access(reply)
        return reply
