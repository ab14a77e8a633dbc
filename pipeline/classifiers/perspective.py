"""The Perspective API, or a drop-in that keeps its JSON (the service ends on 31 December 2026)."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.errors import Cause, TaskError
from pipeline.http import Endpoint, Patience, Reply, base_url, until_next_minute
from pipeline.inflight import in_flight
from pipeline.model import Answer, Column, JsonObject, LabelValue, Post
from pipeline.secret import frozen_key_options, read_key
from pipeline.section import Section
from pipeline.shared_pace import frozen_quota_options, pace_of

PATH = "/v1alpha1/comments:analyze"

# The lab's column of each attribute.
ATTRIBUTES = {
    "TOXICITY": "prob_toxic",
    "SEVERE_TOXICITY": "prob_severe_toxic",
    "IDENTITY_ATTACK": "prob_identity_attack",
    "INSULT": "prob_insult",
    "PROFANITY": "prob_profanity",
    "THREAT": "prob_threat",
    "AFFINITY_EXPERIMENTAL": "prob_affinity",
    "COMPASSION_EXPERIMENTAL": "prob_compassion",
    "CURIOSITY_EXPERIMENTAL": "prob_curiosity",
    "NUANCE_EXPERIMENTAL": "prob_nuance",
    "PERSONAL_STORY_EXPERIMENTAL": "prob_personal_story",
    "REASONING_EXPERIMENTAL": "prob_reasoning",
    "RESPECT_EXPERIMENTAL": "prob_respect",
    "ALIENATION_EXPERIMENTAL": "prob_alienation",
    "FEARMONGERING_EXPERIMENTAL": "prob_fearmongering",
    "GENERALIZATION_EXPERIMENTAL": "prob_generalization",
    "MORAL_OUTRAGE_EXPERIMENTAL": "prob_moral_outrage",
    "SCAPEGOATING_EXPERIMENTAL": "prob_scapegoating",
    "SEXUALLY_EXPLICIT": "prob_sexually_explicit",
    "FLIRTATION": "prob_flirtation",
    "SPAM": "prob_spam",
}

# Error types that are about the post; every other 4xx is about the key, the service or our request.
_ROW_ERRORS = {
    "COMMENT_EMPTY",
    "COMMENT_TOO_LONG",
    "LANGUAGE_DETECTION_FAILED",
    "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
}


# Whether the service answers at all is asked with this: its answer is no post's.
_PROBE = Post("probe", "The sun is out today.")


class Perspective(Classifier):
    """One probability a requested attribute, in the lab's columns."""

    operational = frozenset(
        {
            *("requests_per_minute", "quota_folder", "max_in_flight", "timeout_seconds"),
            *("api_key_env", "api_key_file"),
        }
    )

    @classmethod
    def freeze(cls, section: Section) -> JsonObject:
        attributes = section.texts("attributes", ["TOXICITY"])
        if not attributes or len(set(attributes)) < len(attributes):
            raise section.error("attributes", "should name at least one attribute, each once")
        for name in attributes:
            if name not in ATTRIBUTES:
                raise section.error("attributes", f"{name!r} is none of {', '.join(ATTRIBUTES)}")
        return {
            "base_url": base_url(section, "https://commentanalyzer.googleapis.com"),
            "attributes": attributes,
            "languages": section.texts("languages", ["en"]),
            **frozen_quota_options(section, 60),
            "max_in_flight": section.integer("max_in_flight", 64, least=1),
            "timeout_seconds": section.number("timeout_seconds", 30.0, above=0),
            **frozen_key_options(section, default_env="PERSPECTIVE_API_KEY"),
        }

    def __init__(self, options: JsonObject, share: TaskShare) -> None:
        self._attributes: list[str] = options["attributes"]
        self._languages: list[str] = options["languages"]
        self._limit: int = options["max_in_flight"]
        self.columns = tuple(Column(ATTRIBUTES[name], "number") for name in self._attributes)
        self.model = f"perspective v1alpha1 at {options['base_url']}"
        self.secret = read_key(options)
        self._pace = pace_of(options, self.secret)
        self._endpoint = Endpoint(
            options["base_url"] + PATH,
            headers={"X-Goog-Api-Key": self.secret.reveal()},
            secret=self.secret,
            connections=self._limit,
            pace=self._pace,
            patience=Patience(timeout=options["timeout_seconds"]),
            until_next_bucket=until_next_minute,
            probe=self._request(_PROBE),
        )

    @property
    def trouble(self) -> str:
        return self._pace.trouble or self._endpoint.trouble

    def close(self) -> None:
        self._pace.close()

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        return in_flight(posts, self._ask, limit=self._limit)

    def _ask(self, post: Post, stop: threading.Event) -> Answer:
        reply = self._endpoint.post(self._request(post), stop)
        if reply.status == 200:
            return self._scores(post, reply)
        error_type = _detail(reply.body, "errorType")
        if reply.status == 400 and error_type in _ROW_ERRORS:
            return Answer(post.uri, reason=error_type.lower())
        if reply.status >= 500 or reply.status <= 0:
            return Answer(
                post.uri, reason=f"http_{reply.status}" if reply.status > 0 else "no_answer"
            )
        raise TaskError(Cause.REFUSED, self._advice(reply))

    def _request(self, post: Post) -> JsonObject:
        return {
            "comment": {"text": post.text},
            "requestedAttributes": {name: {} for name in self._attributes},
            "languages": self._languages,
            "doNotStore": True,
            "clientToken": post.uri,
        }

    def _scores(self, post: Post, reply: Reply) -> Answer:
        body = reply.body if isinstance(reply.body, dict) else {}
        if body.get("clientToken") != post.uri:
            raise TaskError(
                Cause.CRASHED,
                f"{self._endpoint.url} answered for {body.get('clientToken')!r} when asked for "
                f"{post.uri!r}: its answers cannot be joined to posts",
            )
        values: dict[str, LabelValue] = {}
        for name in self._attributes:
            value = _summary_score(body, name)
            if value is None:
                return Answer(post.uri, reason="invalid_answer")
            values[ATTRIBUTES[name]] = value
        return Answer(post.uri, values)

    def _advice(self, reply: Reply) -> str:
        if reply.status in (401, 403) or _detail(reply.body, "reason") == "API_KEY_INVALID":
            todo = "check the API key and that the Perspective API is enabled for its project"
        elif reply.status in (404, 410):
            todo = "the service is not there (it ends on 31 December 2026): set classifier.base_url"
        else:
            todo = "the request is not accepted: check classifier.attributes and languages"
        return f"{self._endpoint.url}: {reply.shown}: {todo}"


def _summary_score(body: dict[str, Any], name: str) -> float | None:
    try:
        value = body["attributeScores"][name]["summaryScore"]["value"]
    except (KeyError, TypeError):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def _detail(body: Any, key: str) -> str:
    """The first value of `key` in Google's `error.details[]`; '' where there is none."""
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and isinstance(detail.get(key), str):
            return str(detail[key])
    return ""
