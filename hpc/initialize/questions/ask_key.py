"""Ask where an API key is kept. The key itself is never asked for."""

import re
from dataclasses import dataclass
from pathlib import Path

from hpc.initialize.given import Given
from hpc.initialize.questions.question import Answerer, InvalidAnswer, Question
from hpc.initialize.site import Site
from pipeline.errors import InputError

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
# What keys look like: no path, no word, and long.
_KEY = re.compile(r"(?:Bearer\s.*|(?:sk-|AIza|hf_|gsk_|xai-).*|(?=.*\d)[A-Za-z0-9_\-+=]{20,})")
_IS_KEY = (
    "looks like the key itself, which belongs in a file that only you can read: name that file, or "
    "an environment variable"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPlace:
    """Where tasks find the API key: in a variable or in a file."""

    env: str | None = None
    file: str | None = None

    @property
    def values(self) -> dict[str, object]:
        """Return the keys of the configuration."""
        found = {"api_key_env": self.env, "api_key_file": self.file}
        return {name: value for name, value in found.items() if value is not None}


def ask_key(
    answerer: Answerer, given: Given, site: Site, *, variable: str, is_needed: bool
) -> KeyPlace | None:
    """Return where the key is kept, or will be; None if an answer is missing.

    Args:
        answerer: answers.
        given: the options.
        site: what the shell says.
        variable: the variable that usually holds this key, such as PERSPECTIVE_API_KEY.
        is_needed: whether the service certainly wants a key.

    Raises:
        InputError: both options are given.
    """
    if given.api_key_env is not None and given.api_key_file is not None:
        raise InputError("--api-key-env and --api-key-file: give one of them")
    default = Path("~") / f".{variable.removesuffix('_API_KEY').lower()}_key"
    is_set = variable in site.variables
    proposal = variable if is_set and not default.expanduser().exists() else str(default)
    question = Question(
        flag="--api-key-file" if given.api_key_env is None else "--api-key-env",
        text="Where is the API key? Name a file that only you can read (mode 600), or an "
        "environment variable. Do not type the key itself.",
        missing="the file that holds the API key",
        default=proposal if is_needed or is_set else "",
        why=_why(proposal, is_set=is_set, is_needed=is_needed),
        check=lambda answer: _check(answer, given),
        may_be_empty=not is_needed,
    )
    answer = answerer.ask(question, given.api_key_file or given.api_key_env)
    if answer is None:
        return None
    is_variable = _VARIABLE.fullmatch(answer) and given.api_key_file is None
    if not answer:
        return KeyPlace()
    return KeyPlace(env=answer) if is_variable else KeyPlace(file=answer)


def _why(proposal: str, *, is_set: bool, is_needed: bool) -> str:
    if not (is_needed or is_set):
        return "servers of your own usually need none"
    if proposal.startswith("~"):
        there = Path(proposal).expanduser().exists()
        return "the file exists" if there else "cron and later sessions find it too"
    return "this variable is set" if is_set else ""


def _check(answer: str, given: Given) -> str:
    """Return the name of a variable, or the path of a file as the configuration has it.

    Raises:
        InvalidAnswer: it looks like a key. The message does not repeat it.
    """
    if given.api_key_env is not None and not _VARIABLE.fullmatch(answer):
        raise InvalidAnswer("should be the name of an environment variable, in capitals")
    if _KEY.fullmatch(answer) and not _is_word(answer):
        raise InvalidAnswer(_IS_KEY)
    if _VARIABLE.fullmatch(answer) and given.api_key_file is None:
        return answer
    if answer.startswith("~") or Path(answer).is_absolute():
        return answer
    path = (given.working_folder / answer).absolute()
    return str(path.relative_to(given.folder)) if path.is_relative_to(given.folder) else str(path)


def _is_word(answer: str) -> bool:
    """Tell a long name of a variable from a key in capitals."""
    return bool(_VARIABLE.fullmatch(answer)) and "_" in answer
