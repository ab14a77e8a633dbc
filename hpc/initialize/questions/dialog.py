"""Ask a person on a terminal, with the proposals as defaults."""

from collections.abc import Sequence
from dataclasses import replace

from hpc.display.blocks import Line, Table, Tone
from hpc.display.console import Printer
from hpc.initialize.questions.question import NOTHING, InvalidAnswer, Option, Question
from pipeline.errors import InputError, Interruption
from pipeline.terminal import one_line

NOT_WRITTEN = "nothing was written"
_MOST_OPTIONS = 20
_LONGEST_SHOWN = 48
_MORE = "all"


class Dialog:
    """Asks until there is an answer that can be used."""

    can_ask_again = True

    def __init__(self, printer: Printer) -> None:
        """Show questions with `printer`."""
        self._printer = printer

    def ask(self, question: Question, given: str | None) -> str | None:
        """Return the option's value if there is one, or else what a person types.

        Raises:
            InputError: the option's value cannot be used.
            Interruption: the person ended the input (Ctrl-D).
        """
        if given is not None:
            try:
                return question.answer(given)
            except InvalidAnswer as error:
                raise InputError(f"{question.flag}: {error}") from None
        question = _with_usable_proposal(question)
        self._show(question)
        while True:
            try:
                typed = self._printer.ask(_prompt(question))
                if _wants_list(typed, question):
                    self._list(question.options, question)
                else:
                    return _interpret(typed, question)
            except InvalidAnswer as error:
                self._printer.show(Line(f"  {question.label}: {error}", Tone.BAD))
            except EOFError:
                raise Interruption(f"{NOT_WRITTEN}: the answers ended") from None

    def reject(self, question: Question, problem: str) -> None:
        """Show why the answer cannot be used after all."""
        self._printer.show(Line(f"  {problem}", Tone.BAD))

    def _show(self, question: Question) -> None:
        self._printer.show(Line(""), Line(question.text))
        self._list(question.options[:_MOST_OPTIONS], question)
        if question.why:
            self._printer.show(Line(f"  {question.why}", Tone.FAINT))
        if question.default is None and question.unproposed:
            self._printer.show(Line(f"  nothing is proposed: {question.unproposed}", Tone.FAINT))

    def _list(self, options: Sequence[Option], question: Question) -> None:
        if not options:
            return
        rows = tuple(
            (str(number), one_line(option.value, _LONGEST_SHOWN), one_line(option.note))
            for number, option in enumerate(options, 1)
        )
        self._printer.show(Table(rows=rows, right_aligned=frozenset({0})))
        if more := len(question.options) - len(options):
            self._printer.show(Line(f"  and {more:,} more: type {_MORE} to list them", Tone.FAINT))


def _with_usable_proposal(question: Question) -> Question:
    """Return the question with a proposal that Enter can accept, or with the reason for none.

    What a shell names, such as SBATCH_ACCOUNT, need not exist on this cluster.
    """
    if question.default is None:
        return question
    try:
        question.answer(question.default)
    except InvalidAnswer as error:
        why = f" ({question.why})" if question.why else ""
        problem = f"{question.default}{why} cannot be used: {error}"
        return replace(question, default=None, why="", unproposed=problem)
    return question


def _wants_list(typed: str, question: Question) -> bool:
    is_long = len(question.options) > _MOST_OPTIONS
    return is_long and typed == _MORE and _MORE not in _values(question)


def _interpret(typed: str, question: Question) -> str:
    """Return the answer that a typed line means: the proposal, a number of the list, or itself.

    Raises:
        InvalidAnswer: it cannot be used.
    """
    values = _values(question)
    if not typed and question.default is not None:
        return question.answer(question.default)
    if not typed:
        raise InvalidAnswer(_what_to_type(question))
    if typed in values:
        return question.answer(typed)
    if not typed.isprintable():
        raise InvalidAnswer("has characters that cannot be printed: type it again")
    if values and typed.isascii() and typed.isdecimal():
        if not 1 <= int(typed) <= len(values):
            raise InvalidAnswer(f"should be a number from 1 to {len(values)}, or a name")
        return question.answer(values[int(typed) - 1])
    return question.answer(typed)


def _what_to_type(question: Question) -> str:
    """Return what a person can answer where nothing is proposed."""
    count = len(question.options)
    ways = [f"type {question.missing}"]
    if count:
        numbers = {1: "1", 2: "1 or 2"}.get(count, f"a number from 1 to {count}")
        ways.insert(0, f"choose {numbers}")
    if question.may_be_empty:
        ways.append(f"type {NOTHING} for none")
    return f"Enter accepts nothing here: {', or '.join(ways)}"


def _values(question: Question) -> list[str]:
    return [option.value for option in question.options]


def _prompt(question: Question) -> str:
    """Return what stands before an answer: what is asked for, and the proposal in brackets."""
    if question.default is None:
        return f"{question.label}:"
    shown = one_line(question.default, _LONGEST_SHOWN) or "none"
    leaves_out = f", {NOTHING} for none" if question.may_be_empty and question.default else ""
    return f"{question.label} [{shown}{leaves_out}]:"
