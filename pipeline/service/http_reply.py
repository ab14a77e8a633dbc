"""What came back for one request, as far as any service is alike. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PASSING = frozenset({408, 409, 425})
# In place of a status, where there is none, or none that tells.
NOT_WHOLE, TIMED_OUT, CUT = 0, -1, -2


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A status and its JSON body. Status 0: a 200, but no JSON, or not whole. `text`: as it came,
    but for the key; None where nothing came. `retry`: whether the service says to ask again."""

    status: int
    body: Any
    shown: str
    text: str | None = None
    retry: bool | None = None

    @property
    def failed(self) -> bool:
        """Whether it says nothing of the post: no JSON, nothing at all, or the service's fault."""
        return self.status >= 500 or self.status <= NOT_WHOLE

    @property
    def reason(self) -> str:
        """Why a post has no label, where its status is all that there is to say."""
        return f"http_{self.status}" if self.status > 0 else "no_answer"

    @property
    def is_final(self) -> bool:
        """`insufficient_quota` comes as a 429 and never passes (OpenAI's error codes)."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return self.retry is False or (
            isinstance(error, dict)
            and "insufficient_quota" in (error.get("code"), error.get("type"))
        )


def read(
    status: int, headers: Mapping[str, str], text: str, *, is_whole: Callable[[Any], bool]
) -> Reply:
    """Of a response, the key taken out; `is_whole`: whether a body is an answer at all."""
    shown = f"HTTP {status}: {text[:300]}"
    # OpenAI's header, which overrules the status, as in its own clients; a 200 needs none.
    said = None if status == 200 else headers.get("x-should-retry")
    try:
        body, is_json = json.loads(text), True
    except (ValueError, RecursionError):  # also of numbers too long, and nested too deep
        body, is_json = None, False
    return Reply(
        status=NOT_WHOLE if status == 200 and not (is_json and is_whole(body)) else status,
        body=body,
        shown=shown,
        text=text,
        retry={"true": True, "false": False}.get(said or ""),
    )


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """How long the service asks to wait, in seconds."""
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(header, "")
        if value.replace(".", "", 1).isdecimal():
            return min(float(value) / unit, 300.0)
    return None
