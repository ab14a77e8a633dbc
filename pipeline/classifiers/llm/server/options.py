"""`classifier.server`: the command of a server that each task starts for itself, and its frame."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.section import Section
from pipeline.model import JsonObject
from pipeline.service.endpoint import base_url
from pipeline.text import nearest

# How the server is run, not what it answers. Its command may: `--quantization`, `--dtype`.
OPERATIONAL = "server"
COMMAND = "server_command"
PLACEHOLDERS = ("port", "host", "model", "scratch")
_PLACEHOLDER = re.compile(rf"\{{({'|'.join(PLACEHOLDERS)})\}}")
# A name alone in braces. Not JSON ('{"backend": "xgrammar"}'), a shell's ${NAME}, Jinja's {{name}}.
_MEANT_AS_ONE = re.compile(r"(?<![${])\{([A-Za-z_]\w*)\}(?!\})")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_SECRET_ARGUMENT = re.compile(r"--?[a-z-_]*(api[-_]?key|token|secret|password)(=|$)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerOptions:
    """`ready`: the paths that are asked in turn, the next where one is not there (404)."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    ready: tuple[str, ...]
    ready_seconds: float
    base_path: str
    model: str

    def filled(self, text: str, **values: str) -> str:
        """Its placeholders replaced, in one pass; all other braces are the server's own."""
        known = {"model": self.model, **values}
        return _PLACEHOLDER.sub(lambda found: known[found[1]], text)


def freeze(section: Section) -> JsonObject:
    """The address of a server, or what starts one. Raises InputError, with the key's path."""
    if not section.has("server"):
        if not section.has("base_url"):
            raise section.missing("base_url", "; or give server, which each task starts for itself")
        return {"base_url": base_url(section)}
    if section.has("base_url"):
        raise section.error("base_url", "give either base_url or server, not both")
    if section.has("requests_per_minute"):
        raise section.error("requests_per_minute", "a server of the task's own has no quota")
    server = section.section("server")
    command, tuning, env = _words(server, "command"), _words(server, "tuning", []), _env(server)
    frozen = {
        COMMAND: command,
        OPERATIONAL: {
            "tuning": tuning,
            "env": env,
            "ready": _path(server, "ready", None),
            "ready_seconds": server.time("ready_seconds", 900.0),
            "base_path": _path(server, "base_path", "/v1").rstrip("/"),
        },
    }
    if not command:
        raise server.error("command", "should name a program and its arguments")
    if not any("{port}" in word for word in (*command, *tuning, *env.values())):
        raise server.error(
            "command", 'should hold "{port}", in quotes: each task has a free port of its own'
        )
    server.done()
    return frozen


def name(options: JsonObject) -> str:
    """What others may remember a server by: its address, or the command that starts it."""
    return str(options.get("base_url") or " ".join(options[COMMAND]))


def thaw(options: JsonObject) -> ServerOptions | None:
    """None where the server is somewhere else."""
    if COMMAND not in options:
        return None
    rest, base_path = options[OPERATIONAL], options[OPERATIONAL]["base_path"]
    return ServerOptions(
        command=(*options[COMMAND], *rest["tuning"]),
        env=rest["env"],
        ready=(rest["ready"],) if rest["ready"] else ("/health", f"{base_path}/models"),
        ready_seconds=rest["ready_seconds"],
        base_path=base_path,
        model=options["model"],
    )


def _words(server: Section, key: str, *default: list[str]) -> list[str]:
    """Texts; numbers too, since `--n_ctx, 4096` is how a command is written in YAML."""
    words = server.value(key, *default)
    if not isinstance(words, list) or not all(map(_is_word, words)):
        raise server.error(key, f'should be a list of texts ("{{port}}" in quotes), not {words!r}')
    for word in map(str, words):
        _refuse_unknown_placeholders(server, key, word)
        if _SECRET_ARGUMENT.fullmatch(word.partition("=")[0]):
            raise server.error(key, _keep_out(word.partition("=")[0]))
    return [str(word) for word in words]


def _env(server: Section) -> dict[str, str]:
    env = server.value("env", {})
    if not isinstance(env, Mapping) or not all(map(_is_word, [*env.keys(), *env.values()])):
        raise server.error("env", f"should map names of variables to texts, not {env!r}")
    for name, value in env.items():
        _refuse_unknown_placeholders(server, f"env.{name}", str(value))
        if _SECRET_NAME.search(str(name)):
            raise server.error(f"env.{name}", _keep_out(str(name)))
    return {str(name): str(value) for name, value in env.items()}


def _refuse_unknown_placeholders(server: Section, key: str, text: str) -> None:
    """Here, not on the node, where the server would be given the name in its braces."""
    for name in _MEANT_AS_ONE.findall(text):
        if name not in PLACEHOLDERS:
            near = nearest(name.lower(), PLACEHOLDERS)
            meant = f" (did you mean {{{near}}}?)" if near else ""
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise server.error(key, f"nothing fills in {{{name}}}{meant}; known: {known}")


def _keep_out(name: str) -> str:
    return (
        f"{name} looks like a secret, which the run's folder would keep: export it where you "
        "submit; the server has the task's environment"
    )


def _is_word(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _path(server: Section, key: str, default: str | None) -> Any:
    path = server.text(key, default)
    if path and not path.startswith("/"):
        raise server.error(key, f"should be a path that begins with /, not {path!r}")
    return path
