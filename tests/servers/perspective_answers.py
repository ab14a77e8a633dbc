"""What the Perspective API answers to one request body: pure functions, no socket, no quota.

The bodies follow what the service's clients have reported: conversationai/perspectiveapi
`2-api/limits.md`, mlcommons/modelgauge#169 (429), vivet/GoogleApi#375 (wrong key).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from .http import Reply

MAX_TEXT_BYTES = 20_480
PRODUCTION = frozenset(
    {"TOXICITY", "SEVERE_TOXICITY", "IDENTITY_ATTACK", "INSULT", "PROFANITY", "THREAT"}
)
BRIDGING = {"AFFINITY", "COMPASSION", "CURIOSITY", "NUANCE", "PERSONAL_STORY", "REASONING"}
BRIDGING |= {"RESPECT", "ALIENATION", "FEARMONGERING", "GENERALIZATION", "MORAL_OUTRAGE"}
BRIDGING |= {"SCAPEGOATING"}
ENGLISH_ONLY = {f"{name}_EXPERIMENTAL" for name in BRIDGING}
ENGLISH_ONLY |= {"SEXUALLY_EXPLICIT", "FLIRTATION", "SPAM", "OBSCENE", "INFLAMMATORY", "INCOHERENT"}
ENGLISH_ONLY |= {"ATTACK_ON_AUTHOR", "ATTACK_ON_COMMENTER", "LIKELY_TO_REJECT", "UNSUBSTANTIAL"}
ATTRIBUTES = PRODUCTION | ENGLISH_ONLY
LANGUAGES = frozenset({"ar", "cs", "de", "en", "es", "fr", "hi", "id", "it", "ja", "ko", "nl"})
LANGUAGES |= {"pl", "pt", "ru", "sv", "zh"}  # of the production attributes
FIELDS = frozenset({"comment", "context", "requestedAttributes", "spanAnnotations", "languages"})
FIELDS |= {"doNotStore", "clientToken", "sessionId", "communityId"}
STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class ServiceError(Exception):
    """An error answer of the service: its HTTP status and its JSON."""

    def __init__(self, code: int, message: str, *details: dict[str, Any]) -> None:
        super().__init__(message)
        error: dict[str, Any] = {"code": code, "message": message}
        error["status"] = STATUS_NAMES.get(code, "UNKNOWN")
        self.reply = Reply(
            status=code, body={"error": error | ({"details": [*details]} if details else {})}
        )


def score(text: str, attribute: str) -> float:
    """The score in [0, 1) given here: any text's differs from any other's, so a mix-up shows.

    The same text always has the same: duplicates and retries can be compared bit by bit.
    """
    digest = hashlib.sha256(f"{attribute}\0{text}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def spans(text: str, attribute: str) -> list[tuple[int, int, float]]:
    """One (begin, end, score) a sentence, which is as finely as the service looks (2-api/methods.md
    there): UTF-16 code units, `end` exclusive (SpanScore in the service's own schema)."""

    def units(upto: int) -> int:
        return len(text[:upto].encode("utf-16-le")) // 2

    sentences = re.finditer(r"\S.*?(?:(?<=[.!?])(?=\s)|$)", text, re.MULTILINE)
    return [(units(one.start()), units(one.end()), score(one[0], attribute)) for one in sentences]


def detect_language(text: str) -> str:
    """A wrong one, as the service does to short English posts (atom/biohazard-alert#11, #20)."""
    return ("it", "th", "om")[int(score(text, "language") * 3)]


def analyze(raw: bytes, unsupported: frozenset[tuple[str, str]]) -> dict[str, Any]:
    """The service's answer to one request body; a `ServiceError` where it gives none."""
    request = _parsed(raw)
    text, names = request["comment"]["text"], list(request["requestedAttributes"])
    if not text.strip():
        raise _comment_error("COMMENT_EMPTY", "Comment must be non-empty.")
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise _comment_error("COMMENT_TOO_LONG", "Comment text too long.")
    for name in names:
        if name not in ATTRIBUTES:
            raise _comment_error("INVALID_REQUEST", f"Unknown requested attribute: {name}")
    detected, languages = detect_language(text), request.get("languages")
    if not languages and not any(map(str.isalpha, text)):
        raise _comment_error("LANGUAGE_DETECTION_FAILED", "Unable to detect language")
    for name in names:
        for language in languages or [detected]:
            known = language in (LANGUAGES if name in PRODUCTION else {"en"})
            # A detected language never does: a client has to send its own, always.
            if not languages or not known or (name, language) in unsupported:
                asked = ", ".join(languages or [detected])
                raise _comment_error(
                    "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
                    f"Attribute {name} does not support request languages: {asked}",
                    languageNotSupportedByAttributeError={
                        "detectedLanguages": [detected],
                        "attribute": name,
                    },
                )
    answer: dict[str, Any] = {"attributeScores": {}}
    # Not in the order asked: attributeScores is a map, and clients that read it by position fail.
    for name in sorted(names, reverse=True):
        value = {"value": score(text, name), "type": "PROBABILITY"}
        answer["attributeScores"][name] = {"summaryScore": value}
        if request.get("spanAnnotations"):
            answer["attributeScores"][name]["spanScores"] = [
                {"begin": begin, "end": end, "score": {"value": value, "type": "PROBABILITY"}}
                for begin, end, value in spans(text, name)
            ]
    answer |= {"languages": languages, "detectedLanguages": [detected]}
    return answer | {key: request[key] for key in ("clientToken",) if key in request}


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        request = json.loads(raw)
        request["comment"]["text"].encode()  # a lone surrogate is JSON, but no text
        attributes = request.get("requestedAttributes", {})
        languages = request.get("languages", [])
        well_formed = isinstance(attributes, dict) and isinstance(languages, list)
        well_formed = well_formed and all(isinstance(language, str) for language in languages)
    except (ValueError, TypeError, KeyError, AttributeError):
        well_formed = False
    if not well_formed:
        raise _comment_error("INVALID_REQUEST", "Invalid JSON payload received.")
    for name in request.keys() - FIELDS:
        message = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
        raise _comment_error("INVALID_REQUEST", message)
    if not attributes:
        raise _comment_error("NO_REQUESTED_ATTRIBUTES", "Missing requested_attributes")
    return dict(request)


def _comment_error(kind: str, message: str, **more: Any) -> ServiceError:
    type_name = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
    return ServiceError(400, message, {"@type": type_name, "errorType": kind, **more})


def key_missing() -> ServiceError:
    """No key at all: 403, where a wrong one is 400."""
    return ServiceError(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API.",
    )


def key_invalid() -> ServiceError:
    message = "API key not valid. Please pass a valid API key."
    return ServiceError(400, message, _error_info("API_KEY_INVALID", {}))


def service_disabled() -> ServiceError:
    """Not enabled for the key's project, as when Google has taken a service away."""
    return ServiceError(
        403,
        "Perspective Comment Analyzer API has not been used in project 123456789012 before or it "
        "is disabled. Enable it by visiting https://console.developers.google.com/apis/api/"
        "commentanalyzer.googleapis.com/overview?project=123456789012 then retry.",
        _error_info("SERVICE_DISABLED", {"consumer": "projects/123456789012"}),
    )


def quota_exceeded(quota: int) -> ServiceError:
    """Nothing in it says when to come back; the quota is the next calendar minute's."""
    limit = {
        "quota_limit_value": str(quota),
        "quota_limit": "AnalyzeRequestsPerMinutePerProject",
        "quota_metric": "CommentAnalyzerService/analyze_requests",
        "quota_location": "global",
        "consumer": "projects/123456789012",
    }
    return ServiceError(
        429,
        "Quota exceeded for quota metric 'Analysis requests (AnalyzeComment)' and limit 'Analysis "
        "requests (AnalyzeComment) per minute' of service 'commentanalyzer.googleapis.com' for "
        "consumer 'project_number:123456789012'.",
        _error_info("RATE_LIMIT_EXCEEDED", limit),
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [
                {
                    "description": "Request a higher quota limit.",
                    "url": "https://cloud.google.com/docs/quota#requesting_higher_quota",
                }
            ],
        },
    )


def _error_info(reason: str, metadata: dict[str, str]) -> dict[str, Any]:
    type_name = "type.googleapis.com/google.rpc.ErrorInfo"
    metadata = {"service": "commentanalyzer.googleapis.com", **metadata}
    return {"@type": type_name, "reason": reason, "domain": "googleapis.com", "metadata": metadata}
