"""Answer questions by options and proposals, and name all that are missing at once."""

from hpc.initialize.questions.question import InvalidAnswer, Question
from hpc.run.model.run import Say
from pipeline.errors import InputError


class Unattended:
    """Takes each answer from its option, or else the proposal."""

    can_ask_again = False

    def __init__(self, say: Say, *, why: str) -> None:
        """Say each answer.

        Args:
            say: prints a line.
            why: why nobody is asked, a clause.
        """
        self._say = say
        self._why = why
        self._problems: list[str] = []

    def ask(self, question: Question, given: str | None) -> str | None:
        """Return the option's value, or else the proposal; None, and a problem, without both."""
        if given is None and question.default is None:
            choices = ", ".join(option.value for option in question.options)
            listed = f" ({choices})" if choices else ""
            why = question.unproposed or question.missing
            self._problems.append(f"{question.flag} is missing: {why}{listed}")
            return None
        try:
            answer = question.answer(question.default or "" if given is None else given)
        except InvalidAnswer as error:
            self._problems.append(f"{question.flag}: {error}")
            return None
        why = question.why if given is None else "given"
        self._say(f"{question.label}: {answer or 'none'}" + (f" ({why})" if why else ""))
        return answer

    def reject(self, question: Question, problem: str) -> None:
        """Add a problem with an answer."""
        self._problems.append(f"{question.flag}: {problem}")

    def raise_problems(self) -> None:
        """Raise InputError with all problems, if there are any."""
        if not self._problems:
            return
        lines = [f"  {problem}" for problem in self._problems]
        raise InputError(
            "\n".join([f"nothing was written: {self._why}, and these options are needed:", *lines])
        )
