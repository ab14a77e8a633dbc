"""Define a question about a new project, and who answers: a person, or options and proposals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

NOTHING = "-"
"""The answer that leaves a key out."""


class InvalidAnswer(ValueError):
    """An answer that cannot be used; the message says why, and what would do."""


# What the words of an option do not say well.
_LABELS = {
    "--api-key-env": "API key variable",
    "--api-key-file": "API key file",
    "--base-url": "address",
    "--mem-gb": "memory in GiB",
    "--qos": "QOS",
}


def _as_it_is(answer: str) -> str:
    return answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One of several answers that are listed."""

    value: str
    note: str = ""
    """What it is, in a few words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, as values: a dialog shows it, and without a terminal its option answers it."""

    flag: str
    """The option of the command line that answers it, such as `--table`."""
    text: str
    """The question as a person reads it."""
    missing: str
    """What has to be given where nothing is proposed, such as `the name of the model`."""
    unproposed: str = ""
    """Why nothing is proposed where a proposal was to be expected, a clause."""
    default: str | None = None
    """The proposal; None if only a person can know; '' to leave the key out."""
    why: str = ""
    """Why this is proposed."""
    options: tuple[Option, ...] = ()
    """Answers to choose from. Others may do as well: `check` decides."""
    check: Callable[[str], str] = _as_it_is
    """Returns an answer as it is used. Raises InvalidAnswer."""
    may_be_empty: bool = False
    """Whether `-` leaves the key out."""

    @property
    def label(self) -> str:
        """Return what the answer is called, such as `text column`."""
        return _LABELS.get(self.flag, self.flag.removeprefix("--").replace("-", " "))

    def answer(self, given: str) -> str:
        """Return an answer as it is used.

        Raises:
            InvalidAnswer: it cannot be used.
        """
        if self.may_be_empty and given in ("", NOTHING):
            return ""
        if not given:
            raise InvalidAnswer("is empty")
        if given == NOTHING and given not in (option.value for option in self.options):
            raise InvalidAnswer("cannot be left out")
        if any("\ud800" <= character <= "\udfff" for character in given):
            raise InvalidAnswer("is not UTF-8, which no configuration can hold: rename it")
        return self.check(given)


class Answerer(Protocol):
    """Answers questions."""

    can_ask_again: bool
    """Whether a question that was answered badly can be asked once more."""

    def ask(self, question: Question, given: str | None) -> str | None:
        """Return the answer; None if there is none, which is reported in the end.

        Args:
            question: the question.
            given: what the command line says; None if it says nothing.
        """

    def reject(self, question: Question, problem: str) -> None:
        """Say why an answer cannot be used after all, so that the question is asked again."""
