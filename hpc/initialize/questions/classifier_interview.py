"""Ask what several classifiers need: an API key and a quota."""

from dataclasses import dataclass

from hpc.initialize.given import Given
from hpc.initialize.questions.ask_key import KeyPlace, ask_key
from hpc.initialize.questions.checks import whole_number
from hpc.initialize.questions.question import Answerer, Question
from hpc.initialize.site import Site
from hpc.run.model.run import Say


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierInterview:
    """What every question about a classifier needs."""

    answerer: Answerer
    """Answers the questions."""
    given: Given
    """The options of the command line."""
    site: Site
    """What the shell says."""
    name: str
    """The name of the labels."""
    say: Say
    """Prints what was found out meanwhile."""

    def ask(self, question: Question, given: str | None) -> str | None:
        """Return the answer; None if it is missing."""
        return self.answerer.ask(question, given)

    def key(self, variable: str, *, is_needed: bool) -> KeyPlace | None:
        """Return where the API key is kept; None if the answer is missing."""
        return ask_key(self.answerer, self.given, self.site, variable=variable, is_needed=is_needed)

    def quota(self, default: str, why: str) -> str | None:
        """Return the requests per minute that the service allows; '' for no limit."""
        return self.ask(
            Question(
                flag="--requests-per-minute",
                text="How many requests per minute does the service allow you? All tasks share "
                "them.",
                missing="the quota of your key",
                default=default,
                why=why,
                check=whole_number,
                may_be_empty=default == "",
            ),
            self.given.requests_per_minute,
        )
