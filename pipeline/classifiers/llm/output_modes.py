"""What a server binds its answers by: asked once a server, proved, and noted for the other tasks.

Servers ignore constraints that they don't know with HTTP 200, and reject valid ones with 500; and
a model may obey though nothing binds it. So each way is asked for a word that stands nowhere but
in the schema: only a server that enforces the schema can answer with it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline import files
from pipeline.classifiers.llm import chat, labels
from pipeline.model import JsonObject
from pipeline.service.http_reply import TRANSIENT_CLIENT_ERRORS, Reply

# Strictest first; vLLM calls its own way structured_outputs since 0.12 (guided_json before).
MODES = ("json_schema", "json_object", "structured_outputs", "none")
AUTO, UNBOUND = "auto", "none"
HONOURED = "honoured"
# No label's name: those are identifiers.
_PROOF = "proof-word"
# For the proof, beside what a label's answer may take.
PROOF_TOKENS = 64
# What servers permit at most if not what was asked for: OpenAI's and vLLM's 20, others' 5.
_FEWER_LOGPROBS = (20, 5)

# The reply to the probe, asked with these further fields.
Ask = Callable[[JsonObject], Reply]


def constraint(mode: str, schema: JsonObject) -> JsonObject:
    """What a request says beside its messages, so that the answer is of `schema`."""
    match mode:
        case "json_schema":
            named = {"name": "labels", "strict": True, "schema": schema}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
        case "json_object":
            return {"response_format": {"type": "json_object", "schema": schema}}
        case "structured_outputs":
            return {"structured_outputs": {"json": schema}}
        case _:
            return {}


def logprobs(top: int) -> JsonObject:
    return {"logprobs": True, "top_logprobs": top} if top else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerCapabilities:
    """How a server is asked. `top_logprobs` is how many it gives a token, 0 where none are wanted
    or given; `limit` what it calls `max_tokens`; `said` what it answered to each way; `firm`
    whether nothing of it may have been passing trouble."""

    mode: str
    top_logprobs: int = 0
    limit: str = chat.MAX_TOKENS
    said: dict[str, str] = field(default_factory=dict)
    firm: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRequest:
    """What is to be found out, of which server. `server` names it, the same in every task and job
    of a run: an address that is another in each says nothing to the next task."""

    server: str
    model: str
    mode: str
    top_logprobs: int
    declared: tuple[labels.Label, ...]

    @property
    def open(self) -> bool:
        return self.mode == AUTO or self.top_logprobs > 0

    def note(self, folder: Path) -> Path:
        """The file where the answer is kept: another server, model or wish has another."""
        parts = [self.server, self.model, self.mode, self.top_logprobs]
        known_by = json.dumps([*parts, labels.schema(self.declared)])
        digest = hashlib.sha256(known_by.encode()).hexdigest()[:12]
        return folder / f"structured-output-{digest}.json"


def found(
    wish: ProbeRequest, notes: Path | None, ask_the_server: Callable[[], ServerCapabilities]
) -> ServerCapabilities:
    """As configured, as another task has noted it in `notes`, or as the server answers."""
    if not wish.open:
        return ServerCapabilities(mode=wish.mode)
    note = wish.note(notes) if notes else None
    if note and (noted := read_note(note)):
        return noted
    answered = ask_the_server()
    if note and answered.firm:
        try:
            write_note(note, wish, answered)
        except OSError as error:
            print(f"{note}: not written, the next task asks anew: {error}", flush=True)
    return answered


def forget(wish: ProbeRequest, notes: Path | None) -> None:
    """What the server no longer stands by: the next attempt asks it anew."""
    if notes and wish.open:
        wish.note(notes).unlink(missing_ok=True)


def find(wish: ProbeRequest, ask: Ask) -> ServerCapabilities:
    said: dict[str, str] = {}
    firm = True
    mode, top = wish.mode, 0
    if wish.mode == AUTO:
        mode, schema = UNBOUND, _proof_schema(wish.declared)
        for way in MODES[:-1]:
            reply = ask(constraint(way, schema))
            firm &= _is_firm(reply)
            said[way] = _verdict(reply, wish.declared)
            if said[way] == HONOURED:
                mode = way
                break
    if wish.top_logprobs:
        bound = constraint(mode, labels.schema(wish.declared))
        for number in (wish.top_logprobs, *(n for n in _FEWER_LOGPROBS if n < wish.top_logprobs)):
            reply = ask({**bound, **logprobs(number)})
            firm &= _is_firm(reply)
            given = reply.status == 200 and bool(chat.logprobs(reply.body))
            said[f"top_logprobs {number}"] = HONOURED if given else _without_logprobs(reply)
            if given or reply.status == 200:
                top = number if given else 0
                break
    return ServerCapabilities(mode=mode, top_logprobs=top, said=said, firm=firm)


def read_note(path: Path) -> ServerCapabilities | None:
    """What another task has found; None where there is no note, or one that cannot be used."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        mode, top = note["mode"], note["top_logprobs"]
        limit = note.get("token_limit", chat.MAX_TOKENS)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if mode not in MODES or limit not in (chat.MAX_TOKENS, chat.MAX_COMPLETION_TOKENS):
        return None
    if isinstance(top, bool) or not isinstance(top, int) or top < 0:
        return None
    return ServerCapabilities(mode=mode, top_logprobs=top, limit=limit)


def write_note(path: Path, wish: ProbeRequest, found: ServerCapabilities) -> None:
    """Two tasks that found out at the same time write the same, each the whole of it."""
    path.parent.mkdir(exist_ok=True)
    document = {
        "server": wish.server,
        "model": wish.model,
        "found_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "mode": found.mode,
        "top_logprobs": found.top_logprobs,
        **({} if found.limit == chat.MAX_TOKENS else {"token_limit": found.limit}),
        "said": found.said,
    }
    files.write_json(path, document)


def _proof_schema(declared: tuple[labels.Label, ...]) -> JsonObject:
    schema = labels.schema(declared)
    proof = {"type": "string", "enum": [_proof(declared)]}
    return {
        **schema,
        "properties": {_PROOF: proof, **schema["properties"]},
        "required": [_PROOF, *schema["required"]],
    }


def _proof(declared: tuple[labels.Label, ...]) -> str:
    """Nothing that a model would say, and the same each time: servers cache compiled schemas."""
    words = json.dumps(["proof", labels.schema(declared)])
    return hashlib.sha256(words.encode()).hexdigest()[:12]


def _verdict(reply: Reply, declared: tuple[labels.Label, ...]) -> str:
    if reply.status != 200:
        return reply.summary
    if ending := chat.ending(reply.body):
        return ending
    content = chat.content(reply.body) or ""
    try:
        # The labels' values are not looked at: not every grammar knows a number's limits.
        proof = labels.read_object(content).get(_PROOF)
    except labels.InvalidAnswer as error:
        return f"ignored: {error}"
    return HONOURED if proof == _proof(declared) else "ignored: the answer is of another schema"


def _without_logprobs(reply: Reply) -> str:
    return "ignored: none in the reply" if reply.status == 200 else reply.summary


def _is_firm(reply: Reply) -> bool:
    """A 500 is how llama.cpp's rejects what it can't; a gateway's errors and cuts may pass."""
    return 0 < reply.status <= 500 and reply.status not in TRANSIENT_CLIENT_ERRORS
