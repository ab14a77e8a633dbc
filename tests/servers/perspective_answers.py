"""Answer one request body as the Perspective API does: pure functions, no socket, no quota.

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
    """An error reply of the service: its HTTP status and its JSON."""

    def __init__(self, code: int, message: str, *details: dict[str, Any]) -> None:
        super().__init__(message)
        error: dict[str, Any] = {"code": code, "message": message}
        error["status"] = STATUS_NAMES.get(code, "UNKNOWN")
        self.reply = Reply(
            status=code, body={"error": error | ({"details": [*details]} if details else {})}
        )


def score(text: str, attribute: str) -> float:
    """Return a score in [0, 1) that differs for every text, so that a mix-up shows.

    It is always the same for the same text, so that duplicates and retries can be compared.
    """
    digest = hashlib.sha256(f"{attribute}\0{text}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def spans(text: str, attribute: str) -> list[tuple[int, int, float]]:
    """Return (begin, end, score) for each sentence.

    The service looks no finer than that (2-api/methods.md there). Offsets are UTF-16 code units,
    `end` exclusive (SpanScore in the service's own schema).
    """

    def units(upto: int) -> int:
        return len(text[:upto].encode("utf-16-le")) // 2

    sentences = re.finditer(r"\S.*?(?:(?<=[.!?])(?=\s)|$)", text, re.MULTILINE)
    return [
        (units(match.start()), units(match.end()), score(match[0], attribute))
        for match in sentences
    ]


def detect_language(text: str) -> str:
    """Return a wrong language, as the service does for short posts (biohazard-alert#11, #20)."""
    return ("it", "th", "om")[int(score(text, "language") * 3)]


def analyze(raw: bytes, unsupported: frozenset[tuple[str, str]]) -> dict[str, Any]:
    """Return the service's answer to one request body.

    Args:
        raw: the request body.
        unsupported: (attribute, language) pairs to reject.

    Raises:
        ServiceError: the service rejects the request.
    """
    request = _parsed(raw)
    text, names = request["comment"]["text"], list(request["requestedAttributes"])
    _check_text(text)
    for name in names:
        if name not in ATTRIBUTES:
            raise _comment_error("INVALID_REQUEST", f"Unknown requested attribute: {name}")
    languages = request.get("languages")
    if not languages and not any(map(str.isalpha, text)):
        raise _comment_error("LANGUAGE_DETECTION_FAILED", "Unable to detect language")
    detected = detect_language(text)
    _check_languages(names, languages, detected, unsupported)
    answer: dict[str, Any] = {
        # A map, not in the order of the request: clients that read it by position fail.
        "attributeScores": {
            name: _attribute_scores(text, name, spans_too=bool(request.get("spanAnnotations")))
            for name in sorted(names, reverse=True)
        },
        "languages": languages,
        "detectedLanguages": [detected],
    }
    return answer | {key: request[key] for key in ("clientToken",) if key in request}


def _check_text(text: str) -> None:
    if not text.strip():
        raise _comment_error("COMMENT_EMPTY", "Comment must be non-empty.")
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise _comment_error("COMMENT_TOO_LONG", "Comment text too long.")


def _check_languages(
    names: list[str],
    languages: list[str] | None,
    detected: str,
    unsupported: frozenset[tuple[str, str]],
) -> None:
    for name in names:
        for language in languages or [detected]:
            known = language in (LANGUAGES if name in PRODUCTION else {"en"})
            # A detected language is never supported: a client must always send its own.
            if not languages or not known or (name, language) in unsupported:
                requested = ", ".join(languages or [detected])
                raise _comment_error(
                    "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
                    f"Attribute {name} does not support request languages: {requested}",
                    languageNotSupportedByAttributeError={
                        "detectedLanguages": [detected],
                        "attribute": name,
                    },
                )


def _attribute_scores(text: str, attribute: str, *, spans_too: bool) -> dict[str, Any]:
    scores: dict[str, Any] = {
        "summaryScore": {"value": score(text, attribute), "type": "PROBABILITY"}
    }
    if spans_too:
        scores["spanScores"] = [
            {"begin": begin, "end": end, "score": {"value": value, "type": "PROBABILITY"}}
            for begin, end, value in spans(text, attribute)
        ]
    return scores


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
    """Return the error for a request without a key: 403, where a wrong key gets 400."""
    return ServiceError(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API.",
    )


def key_invalid() -> ServiceError:
    """Return the error for a wrong key."""
    message = "API key not valid. Please pass a valid API key."
    return ServiceError(400, message, _error_info("API_KEY_INVALID", {}))


def service_disabled() -> ServiceError:
    """Return the error for a project without the service, as after Google has ended it."""
    return ServiceError(
        403,
        "Perspective Comment Analyzer API has not been used in project 123456789012 before or it "
        "is disabled. Enable it by visiting https://console.developers.google.com/apis/api/"
        "commentanalyzer.googleapis.com/overview?project=123456789012 then retry.",
        _error_info("SERVICE_DISABLED", {"consumer": "projects/123456789012"}),
    )


def quota_exceeded(quota: int) -> ServiceError:
    """Return the error for a spent quota, which does not say that each minute has a new one."""
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
