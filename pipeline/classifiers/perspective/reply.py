"""Read one reply of the Perspective API strictly: nothing becomes a score that is not one.

The fields and their meaning are those of the service's own schema (commentanalyzer v1alpha1, as in
googleapis/google-api-go-client, commentanalyzer-gen.go).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.model import as_object

ENDS = "it ends on December 31, 2026: see docs/how-to/perspective-ends.md"
# The service has gone, or has moved to an address that the configuration does not name.
_NOT_THERE = frozenset({301, 302, 303, 307, 308, 404, 405, 410})
NOT_SUPPORTED = "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
# Error types that are about the post, whatever other posts get.
_ABOUT_THE_TEXT = frozenset({"COMMENT_EMPTY", "COMMENT_TOO_LONG", "LANGUAGE_DETECTION_FAILED"})
# Error types that are about the post unless the probe gets them too, with the post's reason.
_MAYBE_THE_POSTS = {
    "INVALID_REQUEST": "invalid_request",
    NOT_SUPPORTED: f"{NOT_SUPPORTED.lower()}: the service does not say which",
}
# Says in a column of spans that there were some, and that they do not fit the text.
UNUSABLE_SPANS = "[]"
_NOT_SUPPORTED = re.compile(r"Attribute (\w+) does not support request languages: (.+)")


class InvalidReply(Exception):
    """An HTTP 200 without valid scores; the message never quotes the service."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedRequest:
    """What an error reply says; a field that it does not give is empty."""

    error_type: str
    """The service's name of the error, such as COMMENT_TOO_LONG."""

    about_key: bool
    """Whether the API key is the problem."""

    attribute: str
    """The attribute that does not support the language."""

    languages: frozenset[str]
    """The languages that `attribute` does not support, as the service names them.

    They are those of the request, or the detected ones where the request names none.
    """

    @property
    def is_about_the_text(self) -> bool:
        """Report whether the error is about one text, whatever the service answers to others."""
        return self.error_type in _ABOUT_THE_TEXT

    @property
    def reason(self) -> str:
        """The reason of a post that gets the error; '' where the service does not name one."""
        if self.is_about_the_text:
            return self.error_type.lower()
        return _MAYBE_THE_POSTS.get(self.error_type, "")


def parse_rejection(body: Any) -> RejectedRequest:
    """Return what the body of an error reply says, whatever its form."""
    error = as_object(as_object(body).get("error"))
    items = error.get("details")
    details = [as_object(detail) for detail in items] if isinstance(items, list) else []
    message = _text(error.get("message"))
    not_supported = _NOT_SUPPORTED.match(message)
    by_language = [as_object(d.get("languageNotSupportedByAttributeError")) for d in details]
    return RejectedRequest(
        error_type=_first_text(details, "errorType"),
        about_key="API_KEY" in _first_text(details, "reason")
        or message.lower().startswith("api key"),
        attribute=_first_text(by_language, "attribute")
        or (not_supported[1] if not_supported else ""),
        languages=frozenset(re.findall(r"[\w-]+", not_supported[2]) if not_supported else ()),
    )


def advice(status: int, rejection: RejectedRequest, *, end: str = "") -> str:
    """Return what a person should do about an error that every post gets.

    Args:
        status: the HTTP status.
        rejection: what the reply says.
        end: what to know about the service's end; '' for one that has none.
    """
    note = f" ({end})" if end else ""
    if status in (401, 403) or rejection.about_key:
        project = " and that the Perspective API is enabled for its project" if end else ""
        return f"check the API key{project}{note}"
    if status in _NOT_THERE:
        return f"the service is not there{note}: set classifier.base_url"
    return "the request is not accepted: check classifier.attributes, languages and span_scores"


def client_token(body: Any) -> Any:
    """Return the `clientToken` of a reply, which joins it to its post.

    Raises:
        InvalidReply: the body is not an answer to any post.
    """
    if not isinstance(body, dict):
        raise InvalidReply("no JSON object")
    if body.get("error") is not None:
        raise InvalidReply("an error under HTTP 200")
    return body.get("clientToken")


def has_score(body: Any, attribute: str) -> bool:
    """Report whether a reply has a score of an attribute, be it valid or not.

    The service scores all attributes or none. A drop-in may leave out those that it does not know.
    """
    return _scores(body, attribute).get("summaryScore") is not None


def probability(body: Any, attribute: str) -> float:
    """Return an attribute's score of the whole text, from 0 to 1.

    Raises:
        InvalidReply: there is no such score.
    """
    score = _scores(body, attribute).get("summaryScore")
    return _read_probability(score, f"probability of {attribute}")


def spans(body: Any, attribute: str, text: str) -> str | None:
    """Return an attribute's scores of parts of the text.

    Returns:
        JSON, [[begin, end, score], …]. The offsets are the service's own: UTF-16 code units, `end`
        exclusive. If both are absent, the span is the whole text; a `begin` of 0 may be absent too
        (JSON of proto3). None if there are no spans, as for some attributes and some drop-ins.
        UNUSABLE_SPANS if one of them is not a span of this text: the score of the whole text does
        not depend on them, and is not lost with them.
    """
    items = _scores(body, attribute).get("spanScores")
    if items is None or items == []:
        return None
    length = len(text.encode("utf-16-le")) // 2
    try:
        result = [_read_span(span, length) for span in items] if isinstance(items, list) else []
    except InvalidReply:
        return UNUSABLE_SPANS
    return json.dumps(result, separators=(",", ":"))


def _read_span(item: Any, length: int) -> tuple[int, int, float]:
    """Return begin, end and score of a span. Raises InvalidReply if it is not one of the text.

    `length` is the text's, in UTF-16 code units.
    """
    span = as_object(item)
    begin, end = span.get("begin"), span.get("end")
    if begin is None and end is None:
        end = length
    begin = 0 if begin is None else begin
    # `type`, because True is an int as well.
    if type(begin) is not int or type(end) is not int or not 0 <= begin < end <= length:
        raise InvalidReply("a span that is not one of the text")
    return begin, end, _read_probability(span.get("score"), "score of a span")


def _scores(body: Any, attribute: str) -> Mapping[str, Any]:
    return as_object(as_object(as_object(body).get("attributeScores")).get(attribute))


def _read_probability(score: Any, name: str) -> float:
    """Return a score's value. `name` is what the message calls the score.

    Where a model has no probability, the service gives its raw value, under another `type`.
    """
    fields = as_object(score)
    value = fields.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidReply(f"no {name}")
    if fields.get("type", "PROBABILITY") != "PROBABILITY":
        raise InvalidReply(f"no {name}, but another kind of score")
    return float(value)


def _first_text(objects: list[dict[str, Any]], key: str) -> str:
    return next(filter(None, (_text(item.get(key)) for item in objects)), "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
