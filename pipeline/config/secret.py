"""Read API keys from a variable or a private file, send them in a header, and show them nowhere."""

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline import limits
from pipeline.config.input_files import InputFiles
from pipeline.config.redaction import SHOWN, Redaction
from pipeline.errors import InputError
from pipeline.system.ownership import DENIED

_ONE_PERSON = "A key file is for one person: name your own with classifier.api_key_file"
# A shorter one keeps nobody out, and stands for none (`none`, `EMPTY`, `x`, for servers that want
# any): taken out of answers, it would take the same word, or letter, out of labels.
SHORTEST_KEPT_OUT = 8


class KeyProblem(InputError):
    """Why an API key cannot be used, and what to do about it."""

    def __init__(self, fact: str, advice: str = "") -> None:
        """Say both in one message.

        Args:
            fact: what is wrong.
            advice: what to do; '' if that is clear.
        """
        super().__init__(f"{fact}: {advice}" if advice else fact)
        self.fact, self.advice = fact, advice


class Secret:
    """A key that does not show itself in a repr, a traceback's frame or a log line."""

    __slots__ = ("_redaction", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._redaction = Redaction(value) if len(value) >= SHORTEST_KEPT_OUT else None

    def reveal(self) -> str:
        """Return the secret itself, to be sent to its service and nowhere else."""
        return self._value

    @property
    def kept_out(self) -> str:
        """What `redact` takes out; '' where that is nothing."""
        return self._value if len(self._value) >= SHORTEST_KEPT_OUT else ""

    def redact(self, text: str) -> str:
        """Return a text without the key, in whatever form it is there."""
        return self._redaction(text) if self._redaction else text

    def __repr__(self) -> str:
        return f"Secret({SHOWN})"


NO_KEY = Secret("")


def find_key(
    *, env: str | None, file: str | None, default_env: str | None, inputs: InputFiles
) -> tuple[str | None, str | None]:
    """Return where tasks will find the API key: a variable's name, or a file's absolute path.

    Only these are written to the run's folder, never the key. What is wrong is reported now, so
    that no task starts without its key.

    Args:
        env: the key `api_key_env`.
        file: the key `api_key_file`.
        default_env: the variable that is used when neither is given; None: no key is needed.
        inputs: gets what is wrong.
    """
    if env and file:
        inputs.report("api_key_file", "give either api_key_env or api_key_file, not both")
        return env, file
    found_env = None if file else env or default_env
    found_file = str(Path(file).expanduser().absolute()) if file else None
    check_key(found_env, found_file, inputs)
    return found_env, found_file


def check_key(env: str | None, file: str | None, inputs: InputFiles) -> None:
    """Report to `inputs` why the API key of a variable or a file cannot be used."""
    try:
        read_key(env, file)
    except KeyProblem as error:
        inputs.report_lack("api_key_file" if file else "api_key_env", error.fact, error.advice)


def report_key_in(
    texts: Mapping[str, str], env: str | None, file: str | None, inputs: InputFiles
) -> None:
    """Report to `inputs` each value, by its key, that holds the API key itself.

    The run's folder keeps these values. A key that cannot be read is reported elsewhere.
    """
    try:
        secret = read_key(env, file)
    except InputError:
        return
    for name, text in texts.items():
        if secret.redact(text) != text:
            inputs.report(name, "holds the API key, which the run's folder would keep: remove it")


def read_key(env: str | None, file: str | None) -> Secret:
    """Return the API key that a variable or a file holds; `NO_KEY` where neither is named.

    Raises:
        KeyProblem: it is not set, or others can read its file.
    """
    if file:
        path = Path(file)
        try:
            if path.stat().st_mode & 0o077:
                raise KeyProblem(f"{path} can be read by others", f"chmod 600 {path}")
            value = limits.read_file(path, limits.KEY_BYTES).decode().strip()
        except OSError as error:
            whose = f". {_ONE_PERSON}" if error.errno in DENIED else ""
            raise KeyProblem(
                f"the key file {path} cannot be read: {error.strerror}{whose}"
            ) from None
        except UnicodeDecodeError:
            value = "\ufffd"
        if not value:
            raise KeyProblem(f"the key file {path} is empty", "write the API key into it")
        return _sendable(value, f"the key file {path}")
    if env:
        return _sendable(os.environ.get(env, "").strip(), f"the environment variable {env}")
    return NO_KEY


def _sendable(value: str, where: str) -> Secret:
    if not value:
        raise KeyProblem(
            f"{where} is not set", "set it to the API key (export, or a mode-600 file)"
        )
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise KeyProblem(f"{where} holds characters that no HTTP header can carry")
    return Secret(value)
