"""Declare `classifier.server`: the command of a server that each task starts for itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, field
from msgspec.structs import force_setattr

from pipeline.config.keys import Duration, Section, Text, Wrong, expects, key, label_key
from pipeline.text import nearest

PLACEHOLDERS = ("port", "host", "model", "scratch")
_PLACEHOLDER = re.compile(rf"\{{({'|'.join(PLACEHOLDERS)})\}}")
# A name alone in braces. Not JSON ('{"backend": "xgrammar"}'), a shell's ${NAME}, Jinja's {{name}}.
_LIKE_A_PLACEHOLDER = re.compile(r"(?<![${])\{([A-Za-z_]\w*)\}(?!\})")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_SECRET_ARGUMENT = re.compile(r"--?[a-z-_]*(api[-_]?key|token|secret|password)(=|$)", re.IGNORECASE)

# YAML reads the number in `--n_ctx, 4096` as one.
Word = Annotated[
    str,
    expects('text ("{port}" in quotes)'),
    Meta(extra_json_schema={"type": ["string", "number"]}),
]


class Server(Section, frozen=True, kw_only=True):
    """A server that each task starts on its node, on a free port, and ends with itself."""

    command: Annotated[
        tuple[Word, ...],
        Meta(min_length=1),
        label_key(
            'The program and its arguments. `"{port}"`, `"{host}"`, `"{model}"` and `"{scratch}"` '
            "(a folder of its own on the node) are filled in.",
            number_as_text=True,
        ),
    ]
    tuning: Annotated[
        tuple[Word, ...],
        key("Further arguments, which change no label: memory, parallelism.", number_as_text=True),
    ] = ()
    env: Annotated[
        Mapping[str, Word], key("Environment variables of the server.", number_as_text=True)
    ] = field(default_factory=dict)
    ready: Annotated[
        Text | None,
        key(
            "Path that answers 200 once the server is ready.",
            default="`/health`, or `/v1/models` on a server without it",
        ),
    ] = None
    ready_seconds: Annotated[
        Duration, key("How long the server may take until it is ready.", unit="seconds")
    ] = 900.0
    base_path: Annotated[Text, key("Path under which it serves the API.")] = "/v1"

    def __post_init__(self) -> None:
        """Reject what the server would misread, and what the run's folder must not keep."""
        for name, words in (("command", self.command), ("tuning", self.tuning)):
            for word in words:
                _check_placeholders(name, word)
                if _SECRET_ARGUMENT.fullmatch(word.partition("=")[0]):
                    raise Wrong(name, _keep_out(word.partition("=")[0]))
        for name, value in self.env.items():
            _check_placeholders(f"env.{name}", value)
            if _SECRET_NAME.search(name):
                raise Wrong(f"env.{name}", _keep_out(name))
        for name, path in (("ready", self.ready), ("base_path", self.base_path)):
            if path and not path.startswith("/"):
                raise Wrong(name, f"should be a path that begins with /, not {path!r}")
        if not any("{port}" in word for word in (*self.command, *self.tuning, *self.env.values())):
            raise Wrong(
                "command", 'should hold "{port}", in quotes: each task has a free port of its own'
            )
        force_setattr(self, "base_path", self.base_path.rstrip("/"))


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerOptions:
    """What starts a server, with every default filled in."""

    command: tuple[str, ...]
    """The program and its arguments, with placeholders."""

    env: Mapping[str, str]
    """Environment variables, with placeholders."""

    ready: tuple[str, ...]
    """The paths of the health page, in turn: the next one if a page does not exist (404)."""

    ready_seconds: float
    """How long the server may take until it is ready."""

    base_path: str
    """The path under which it serves the API."""

    model: str
    """The model's name."""

    def fill_placeholders(self, text: str, **values: str) -> str:
        """Replace the placeholders in a text, in one pass; other braces are the server's own."""
        known = {"model": self.model, **values}
        return _PLACEHOLDER.sub(lambda match: known[match[1]], text)


def server_options(server: Server, *, model: str) -> ServerOptions:
    """Return what starts a task's own server, with every default filled in."""
    return ServerOptions(
        command=(*server.command, *server.tuning),
        env=server.env,
        ready=(server.ready,) if server.ready else ("/health", f"{server.base_path}/models"),
        ready_seconds=server.ready_seconds,
        base_path=server.base_path,
        model=model,
    )


def _check_placeholders(key_name: str, text: str) -> None:
    """Reject an unknown placeholder, which the server would get unchanged, braces included."""
    for placeholder in _LIKE_A_PLACEHOLDER.findall(text):
        if placeholder not in PLACEHOLDERS:
            near = nearest(placeholder.lower(), PLACEHOLDERS)
            meant = f" (did you mean {{{near}}}?)" if near else ""
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise Wrong(key_name, f"nothing fills in {{{placeholder}}}{meant}; known: {known}")


def _keep_out(name: str) -> str:
    return (
        f"{name} looks like a secret, which the run's folder would keep: export it where you "
        "submit; the server has the task's environment"
    )
