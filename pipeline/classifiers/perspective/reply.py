"""What one answer of the Perspective API says, read strictly: nothing becomes a score that is none.

Fields and their meaning are those of the service's own schema (commentanalyzer v1alpha1, as in
googleapis/google-api-go-client, commentanalyzer-gen.go).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENDS = "it ends on 31 December 2026; see README, When Perspective ends"
# Gone, or moved to where nobody of ours is.
NOT_THERE = frozenset({301, 302, 303, 307, 308, 404, 405, 410})
NOT_SUPPORTED = "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
_NOT_SUPPORTED = re.compile(r"Attribute (\w+) does not support request languages: (.+)")


class InvalidReply(Exception):
    """A 200 that holds no scores, or such as are none; the message is ours, never the service's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedRequest:
    """An error answer. What it does not say is empty.

    `languages` are those that `attribute` was refused for, in the service's own words: what the
    request said, or what was detected where it said nothing.
    """

    error_type: str
    about_key: bool
    attribute: str
    languages: frozenset[str]


def refusal(body: Any) -> RejectedRequest:
    error = _mapping(_mapping(body).get("error"))
    given = error.get("details")
    details = [_mapping(detail) for detail in given] if isinstance(given, list) else []
    message = _text(error.get("message"))
    said = _NOT_SUPPORTED.match(message)
    named = [_mapping(d.get("languageNotSupportedByAttributeError")) for d in details]
    return RejectedRequest(
        error_type=_first(details, "errorType"),
        about_key="API_KEY" in _first(details, "reason") or message.lower().startswith("api key"),
        attribute=_first(named, "attribute") or (said[1] if said else ""),
        languages=frozenset(re.findall(r"[\w-]+", said[2])) if said else frozenset(),
    )


def advice(status: int, refusal: RejectedRequest) -> str:
    """What a person should do about an answer that every post would get."""
    if status in (401, 403) or refusal.about_key:
        return f"check the API key and that the Perspective API is enabled for its project ({ENDS})"
    if status in NOT_THERE:
        return f"the service is not there ({ENDS}): set classifier.base_url"
    return "the request is not accepted: check classifier.attributes and languages"


def token(body: Any) -> Any:
    """The `clientToken` of an answer, which joins it to its post.

    Raises InvalidAnswer where the body is no answer at all, for whomever.
    """
    if not isinstance(body, dict):
        raise InvalidReply("no JSON object")
    if body.get("error") is not None:
        raise InvalidReply("an error under HTTP 200")
    return body.get("clientToken")


def probability(body: Any, name: str) -> float:
    """An attribute's score of the whole text. Raises InvalidAnswer where it has none."""
    return _probability(_scores(body, name).get("summaryScore"), f"probability of {name}")


def spans(body: Any, name: str, text: str) -> str | None:
    """An attribute's scores of parts of the text, as JSON: [[begin, end, score], …].

    The offsets are the service's own: UTF-16 code units, `end` exclusive; both left out mean the
    whole text, and a `begin` of 0 is left out at times (JSON of proto3). None: it gave none, as
    not all attributes do. Raises InvalidAnswer where one is no span of this text.
    """
    length = len(text.encode("utf-16-le")) // 2
    what = f"span of {name}"
    given = _scores(body, name).get("spanScores")
    if given is not None and not isinstance(given, list):
        raise InvalidReply(f"no list of each {what}")
    found = []
    for span in map(_mapping, given or []):
        begin, end = span.get("begin"), span.get("end")
        if begin is None and end is None:
            end = length
        begin = 0 if begin is None else begin
        # `type`: True is an int as well.
        if type(begin) is not int or type(end) is not int or not 0 <= begin < end <= length:
            raise InvalidReply(f"a {what} that is none")
        found.append([begin, end, _probability(span.get("score"), f"score of a {what}")])
    return json.dumps(found, separators=(",", ":")) if found else None


def _scores(body: Any, name: str) -> Mapping[str, Any]:
    return _mapping(_mapping(_mapping(body).get("attributeScores")).get(name))


def _probability(score: Any, what: str) -> float:
    """Raises InvalidAnswer where there is none. Where a model has no probability, the service gives
    its raw value, under another `type`."""
    given = _mapping(score)
    value = given.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidReply(f"no {what}")
    if given.get("type", "PROBABILITY") != "PROBABILITY":
        raise InvalidReply(f"no {what}, but another kind of score")
    return float(value)


def _first(mappings: list[Mapping[str, Any]], key: str) -> str:
    return next(filter(None, (_text(one.get(key)) for one in mappings)), "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
