"""Detect how a server can be made to answer by a JSON schema, once per server and run.

Servers ignore constraints that they do not know with HTTP 200, and reject valid ones with 500. A
model may also obey although nothing forces it to. So each mode is probed with a word that is only
in the schema: only a server that enforces the schema can answer with it. The result is recorded in
a note for the other tasks of the run.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pipeline import files
from pipeline.classifiers.llm import answer_text, chat, labels, replies
from pipeline.classifiers.llm.answer_problems import InvalidAnswer
from pipeline.config.keys import Count, Section, key, one_of
from pipeline.errors import InputError
from pipeline.model import JsonObject
from pipeline.run_files.json_record import read_record
from pipeline.service.http_reply import TRANSIENT_CLIENT_ERRORS, Reply

# Strictest first. vLLM has called its own mode structured_outputs since 0.12 (guided_json before).
MODES = ("json_schema", "json_object", "structured_outputs", "none")
AUTO, UNCONSTRAINED = "auto", "none"
HONORED = "honoured"  # as the notes of runs record it
# Not a possible label name, because label names are identifiers.
_PROOF = "proof-word"
# Tokens for the proof, beside those that the labels may take.
PROOF_TOKENS = 64
# The limits of servers that do not permit the requested number: OpenAI's and vLLM's, then others'.
_FEWER_LOGPROBS = (20, 5)

SendProbe = Callable[[JsonObject], Reply]
"""Sends the probe with these further fields."""


def constraint(mode: str, schema: JsonObject) -> JsonObject:
    """Return the fields of a request that make the server answer by `schema`."""
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


def logprobs_fields(top: int) -> JsonObject:
    """Return the fields of a request for `top` alternatives per token; 0 requests none."""
    return {"logprobs": True, "top_logprobs": top} if top else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerCapabilities:
    """What a server supports, and so how requests are written."""

    mode: str
    """One of MODES: the strictest that the server enforces."""

    top_logprobs: int = 0
    """How many alternatives per token it gives; 0 if none are wanted or given."""

    token_limit_field: str = chat.MAX_TOKENS
    """The field in which it accepts the limit of an answer's tokens."""

    findings: dict[str, str] = field(default_factory=dict)
    """What it answered to each probe."""

    is_definite: bool = True
    """Whether every answer was definite, and none a passing failure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRequest:
    """What to detect about which server."""

    server: str
    """Names the server, in the same way in every task and job of a run.

    An address that differs in each task would say nothing to the next one.
    """

    model: str
    """The model's name."""

    mode: str
    """The configured mode: one of MODES, or AUTO to detect it."""

    top_logprobs: int
    """How many alternatives per token are wanted."""

    declared: tuple[labels.Label, ...]
    """The labels whose schema the server should enforce."""

    fields: Mapping[str, object] = field(default_factory=dict)
    """What `classifier.request` adds to every request, and so to the probes."""

    needs_logprobs: bool = False
    """Whether a server without logprobs is of no use."""

    @property
    def is_needed(self) -> bool:
        """Whether anything has to be detected."""
        return self.mode == AUTO or self.top_logprobs > 0

    def note_path(self, folder: Path) -> Path:
        """Return the file of the result, which differs for another server, model or request."""
        parts = [self.server, self.model, self.mode, self.top_logprobs]
        parts += [labels.schema(self.declared), *([self.fields] if self.fields else [])]
        identity = json.dumps(parts)
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        return folder / f"structured-output-{digest}.json"


def detect_capabilities(
    request: ProbeRequest, notes: Path | None, probe: Callable[[], ServerCapabilities]
) -> ServerCapabilities:
    """Return what a server supports: as configured, as another task has noted, or as it answers.

    Args:
        request: what to detect.
        notes: the folder of the run's notes; None if there is none.
        probe: asks the server.
    """
    note = request.note_path(notes) if notes else None
    if note and (noted := read_note(note)):
        return noted
    detected = probe()
    if note and detected.is_definite:
        try:
            write_note(note, request, detected)
        except OSError as error:
            print(f"{note}: cannot be written, so the next task probes again: {error}", flush=True)
    return detected


def forget_capabilities(request: ProbeRequest, notes: Path | None) -> None:
    """Delete the note of a server that behaves differently now, so that it is probed again."""
    if notes:
        request.note_path(notes).unlink(missing_ok=True)


def probe_server(request: ProbeRequest, send: SendProbe) -> ServerCapabilities:
    """Probe a server, from the strictest mode down and from the most logprobs down."""
    mode, findings, is_definite = request.mode, dict[str, str](), True
    if request.mode == AUTO:
        mode, findings, is_definite = _probe_modes(request, send)
    if not request.top_logprobs:
        return ServerCapabilities(mode=mode, findings=findings, is_definite=is_definite)
    top_logprobs, logprobs_findings, logprobs_definite = _probe_logprobs(request, mode, send)
    return ServerCapabilities(
        mode=mode,
        top_logprobs=top_logprobs,
        findings=findings | logprobs_findings,
        is_definite=is_definite and logprobs_definite,
    )


def _probe_modes(request: ProbeRequest, send: SendProbe) -> tuple[str, dict[str, str], bool]:
    """Return the strictest mode that the server enforces, the findings, and if all are definite."""
    findings: dict[str, str] = {}
    is_definite, schema = True, _proof_schema(request.declared)
    for mode in MODES[:-1]:
        reply = send(constraint(mode, schema))
        is_definite &= _is_definite(reply)
        findings[mode] = _describe_finding(reply, request.declared)
        if findings[mode] == HONORED:
            return mode, findings, is_definite
    return UNCONSTRAINED, findings, is_definite


def _probe_logprobs(
    request: ProbeRequest, mode: str, send: SendProbe
) -> tuple[int, dict[str, str], bool]:
    """Return how many logprobs the server gives, the findings, and if all are definite."""
    findings: dict[str, str] = {}
    is_definite = True
    constrained = constraint(mode, labels.schema(request.declared))
    wanted = request.top_logprobs
    for number in (wanted, *(fewer for fewer in _FEWER_LOGPROBS if fewer < wanted)):
        reply = send({**constrained, **logprobs_fields(number)})
        is_definite &= _is_definite(reply)
        has_logprobs = reply.status == 200 and bool(chat.token_logprobs(reply.body))
        finding = HONORED if has_logprobs else _without_logprobs(reply)
        findings[f"top_logprobs {number}"] = finding
        if reply.status == 200:
            return number if has_logprobs else 0, findings, is_definite
    return 0, findings, is_definite


class ServerNote(Section, frozen=True, kw_only=True):
    """What a task leaves for the others in the run's `notes/`.

    The answers in `said` are for a person.
    """

    server: str
    model: str
    found_at: str
    mode: Annotated[str, one_of(MODES)]
    top_logprobs: Count
    token_limit: Annotated[
        Annotated[str, one_of((chat.MAX_TOKENS, chat.MAX_COMPLETION_TOKENS))],
        key("What the server calls `max_tokens`.", omit_default=True),
    ] = chat.MAX_TOKENS
    said: Mapping[str, str]


def read_note(path: Path) -> ServerCapabilities | None:
    """Return what another task has detected; None without a usable note.

    A note that is damaged, or that another version wrote, is reported in the task's log, and the
    server is probed again.
    """
    try:
        note = read_record(path, ServerNote)
    except OSError:
        return None
    except InputError as error:
        print(f"{error}\nthe server is probed again", flush=True)
        return None
    return ServerCapabilities(
        mode=note.mode, top_logprobs=note.top_logprobs, token_limit_field=note.token_limit
    )


def write_note(path: Path, request: ProbeRequest, detected: ServerCapabilities) -> None:
    """Record what was detected. Tasks that do so at the same time each write a whole note."""
    path.parent.mkdir(exist_ok=True)
    note = ServerNote(
        server=request.server,
        model=request.model,
        found_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        mode=detected.mode,
        top_logprobs=detected.top_logprobs,
        token_limit=detected.token_limit_field,
        said=detected.findings,
    )
    files.write_json(path, note.to_json())


def _proof_schema(declared: tuple[labels.Label, ...]) -> JsonObject:
    schema = labels.schema(declared)
    proof = {"type": "string", "enum": [_proof(declared)]}
    return {
        **schema,
        "properties": {_PROOF: proof, **schema["properties"]},
        "required": [_PROOF, *schema["required"]],
    }


def _proof(declared: tuple[labels.Label, ...]) -> str:
    """Return a word that no model would say. It is always the same: servers cache schemas."""
    identity = json.dumps(["proof", labels.schema(declared)])
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _describe_finding(reply: Reply, declared: tuple[labels.Label, ...]) -> str:
    if reply.status != 200:
        return reply.summary
    try:
        # The labels' values do not matter: not every grammar knows the limits of a number.
        _, answer = replies.read(reply, answer_text.read_object)
    except InvalidAnswer as error:
        return error.reason if not error.details else f"ignored: {error}"
    is_proof = answer.get(_PROOF) == _proof(declared)
    return HONORED if is_proof else "ignored: the answer is of another schema"


def _without_logprobs(reply: Reply) -> str:
    return "ignored: none in the reply" if reply.status == 200 else reply.summary


def _is_definite(reply: Reply) -> bool:
    """Report whether a reply cannot be a passing failure.

    llama.cpp rejects what it does not support with a 500; the errors of a gateway and lost
    connections may pass.
    """
    return 0 < reply.status <= 500 and reply.status not in TRANSIENT_CLIENT_ERRORS
