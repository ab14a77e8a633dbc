"""Parse the reply to one request, as far as all services agree on its form.

Everything here is pure.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import strict_json
from pipeline.model import as_object
from pipeline.strict_json import Document, InvalidJson
from pipeline.terminal import clean

# Client errors that may pass: request timeout, conflict, too early.
TRANSIENT_CLIENT_ERRORS = frozenset({408, 409, 425})
# Stand in for a status where there is none, or where the status says nothing.
INCOMPLETE, TIMED_OUT, DISCONNECTED = 0, -1, -2

# A service that asks for more is asked again after this time.
LONGEST_WAIT_SECONDS = 300.0
_SUMMARY_CHARACTERS = 300
# A body up to this long is shown as it is.
_SHORT_CHARACTERS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What came back for one request."""

    status: int
    """The HTTP status, or INCOMPLETE, TIMED_OUT or DISCONNECTED.

    INCOMPLETE is an HTTP 200 whose body is not JSON or not an answer at all, unless its error names
    a status, which is this one then.
    """

    body: Any
    """The parsed JSON body; None where there is none."""

    summary: str
    """The status and the beginning of the body, without the key, for messages."""

    text: str | None = None
    """The body as it came, without the key; None where nothing came."""

    retry: bool | None = None
    """Whether the service itself says to retry; None where it does not say."""

    problem: str = ""
    """Why nothing in the body of an HTTP 200 can be trusted, although it is JSON; else ''."""

    @property
    def failed(self) -> bool:
        """Report whether this says nothing about the post: the service failed or did not answer."""
        return self.status >= 500 or self.status <= INCOMPLETE

    @property
    def may_pass(self) -> bool:
        """Report whether the same request may succeed when it is sent again."""
        return self.failed or self.status in TRANSIENT_CLIENT_ERRORS

    @property
    def asks_to_wait(self) -> bool:
        """Report whether the service has not looked at the request, and may do so later."""
        return self.status == 429 and not self.is_final

    @property
    def reason(self) -> str:
        """Return why a post has no label, where the status is all there is to say."""
        return f"http_{self.status}" if self.status > 0 else "no_answer"

    @property
    def is_final(self) -> bool:
        """Report whether waiting cannot help, as far as the reply itself says.

        `insufficient_quota` comes as a 429 and never passes (OpenAI's error codes).
        """
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return self.retry is False or (
            isinstance(error, dict)
            and "insufficient_quota" in (error.get("code"), error.get("type"))
        )


def parse_reply(
    status: int, headers: Mapping[str, str], text: str, *, is_complete: Callable[[Any], bool]
) -> Reply:
    """Return the reply that an HTTP response stands for.

    Args:
        status: the HTTP status.
        headers: the response's headers.
        text: the body, without the key.
        is_complete: whether the body of an HTTP 200 is an answer at all.
    """
    # OpenAI's header, which overrides the status in OpenAI's own clients. A 200 needs no advice.
    advice = None if status == 200 else headers.get("x-should-retry")
    try:
        document = strict_json.parse(text)
    except InvalidJson:
        document = Document(value=None, has_duplicates=False)
        is_answer = False
    else:
        is_answer = document.has_duplicates or is_complete(document.value)
    return Reply(
        status=_status_within(document.value) if status == 200 and not is_answer else status,
        body=document.value,
        summary=f"HTTP {status}: {_summarize(text, document.value)}",
        text=text,
        retry={"true": True, "false": False}.get(advice or ""),
        problem="a key occurs twice" if document.has_duplicates else "",
    )


def without_body(status: int, headers: Mapping[str, str], problem: str, *, instead: int) -> Reply:
    """Return the reply of a service whose body is not read to its end.

    Args:
        status: the HTTP status, which says enough unless it is 200.
        headers: the response's headers.
        problem: what is wrong with the body.
        instead: the status of the reply if the HTTP status is 200.
    """
    advice = None if status == 200 else headers.get("x-should-retry")
    return Reply(
        status=instead if status == 200 else status,
        body=None,
        summary=f"HTTP {status}: {problem}",
        retry={"true": True, "false": False}.get(advice or ""),
    )


def no_reply(status: int, problem: str) -> Reply:
    """Return the reply of a request that got none; `problem` must not contain the key."""
    return Reply(status=status, body=None, summary=_one_line(problem))


def _status_within(body: Any) -> int:
    """Return the status that an error within an HTTP 200 names; INCOMPLETE if it names none.

    Gateways that have begun to answer can only report errors so (OpenRouter, LiteLLM). Sent again,
    a request that such an error rejects for good may be billed each time.
    """
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    is_status = type(code) in (int, str) and re.fullmatch("[45][0-9][0-9]", str(code))
    return int(str(code)) if is_status else INCOMPLETE


def _summarize(text: str, body: Any) -> str:
    """Return what a body says: the message of its error, if a long document has one.

    Google and OpenAI put it into an object `error`, with names of what is wrong, and FastAPI into
    `detail`.
    """
    whole = _one_line(text)
    error = as_object(as_object(body).get("error"))
    messages = (error.get("message"), *map(as_object(body).get, ("error", "message", "detail")))
    message = next((each for each in messages if isinstance(each, str) and each.strip()), "")
    if len(whole) <= _SHORT_CHARACTERS or not message:
        return whole
    items = error.get("details")
    details = [as_object(item) for item in items] if isinstance(items, list) else []
    named = [error.get("status"), error.get("code"), error.get("type")]
    named += [each.get(key) for each in details for key in ("reason", "errorType")]
    names = dict.fromkeys(name for name in named if isinstance(name, str) and name)
    return _one_line(f"{message} ({', '.join(names)})" if names else message)


def _one_line(text: str) -> str:
    """Return the beginning of a text as one line: no page of a server can look like our message."""
    return " ".join(clean(text[:_SUMMARY_CHARACTERS]).split())
