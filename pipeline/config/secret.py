"""API keys: read from a variable or a private file, sent in a header, shown nowhere."""

import os
import re
from pathlib import Path

from pipeline.config.section import Section
from pipeline.errors import InputError

_SHOWN = "[key]"
# A shorter one keeps nobody out, and stands for none (`none`, `EMPTY`, `x`, for servers that want
# any): taken out of answers, it would take the same word, or letter, out of labels.
SHORTEST_KEPT_OUT = 8


class Secret:
    """A key that does not show itself in a repr, a traceback's frame or a log line."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    @property
    def kept_out(self) -> str:
        """What `redact` takes out; '' where that is nothing."""
        return self._value if len(self._value) >= SHORTEST_KEPT_OUT else ""

    def redact(self, text: str) -> str:
        """`text` without the key, for what others' error messages may carry."""
        return text.replace(self.kept_out, _SHOWN) if self.kept_out else text

    def __repr__(self) -> str:
        return f"Secret({_SHOWN})"


NO_KEY = Secret("")


def frozen_key_options(section: Section, *, default_env: str | None) -> dict[str, str]:
    """Where the key will be found, checked now so that no task starts without it.

    Returns the names only, never the key: they are written to the run's folder.
    """
    name = section.text("api_key_env", None)
    file = section.text("api_key_file", None)
    if name and file:
        raise section.error("api_key_file", "give either api_key_env or api_key_file, not both")
    # In capitals, since many a key is a word of letters, digits and _ too; and not shown.
    if name and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise section.error(
            "api_key_env",
            "should be the name of an environment variable, in capitals, never the key itself",
        )
    if file:
        options = {"api_key_file": str(Path(file).expanduser().absolute())}
    elif name or default_env:
        options = {"api_key_env": name or str(default_env)}
    else:
        return {}
    try:
        read_key(options)
    except InputError as error:
        key = "api_key_file" if file else "api_key_env"
        raise section.error(key, str(error)) from None
    return options


def read_key(options: dict[str, str]) -> Secret:
    """The key that `frozen_key_options` pointed at; `NO_KEY` where none was configured.

    Raises InputError where it is not set, or its file can be read by others.
    """
    if "api_key_file" in options:
        path = Path(options["api_key_file"])
        try:
            if path.stat().st_mode & 0o077:
                raise InputError(f"{path} can be read by others: chmod 600 {path}")
            value = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InputError(f"the key file {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            value = "\ufffd"
        return _sendable(value, f"the key file {path}")
    if "api_key_env" in options:
        name = options["api_key_env"]
        return _sendable(os.environ.get(name, "").strip(), f"the environment variable {name}")
    return NO_KEY


def _sendable(value: str, where: str) -> Secret:
    if not value:
        raise InputError(f"{where} is not set: set it to the API key (export, or a mode-600 file)")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise InputError(f"{where} holds characters that no HTTP header can carry")
    return Secret(value)
