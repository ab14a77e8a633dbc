"""Define why an answer holds no valid label, and what a person can change about each reason.

Pure.
"""

from dataclasses import dataclass
from enum import Enum


class AnswerProblem(Enum):
    """Why no label can be read from a completion."""

    REFUSAL = "the model refused"
    CONTENT_FILTER = "the provider's filter removed the answer"
    CUT = "the answer ends in the middle, at max_tokens"
    UNCLEAR = "the reply says two things"
    NO_CONTENT = "the reply has no text"
    ONLY_REASONING = "the reply has text in a field for reasoning, and none beside it"
    ONLY_THINKING = "the text is thinking, and nothing follows it"
    NOT_JSON = "the text is not JSON"
    NOT_AN_OBJECT = "the text is JSON, but no object"
    LABEL_MISSING = "the object lacks a label"
    LABEL_WRONG = "a label has a value that is not declared"
    OTHER_WORD = "the answer does not begin with a declared word"
    WORD_UNFINISHED = "the answer ends before a declared word does"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemFacts:
    """What follows from a problem."""

    reason: str = "invalid_answer"
    """The word that the reason of a post begins with."""

    is_asked_again: bool = True
    """Whether another answer to the same question may be better."""

    is_about_the_text: bool = False
    """Whether a text can bring it about that others do not have, as an insult can."""

    advice: str
    """What to do if every post gets it."""


_THINKING = "turn the model's thinking off with classifier.request"
_FORM = (
    "use a model or a server that keeps to a JSON schema (classifier.structured_output), or say "
    "in the prompt what an answer looks like"
)
_FILTER = "use another provider or model, or word classifier.prompt differently"

PROBLEMS = {
    AnswerProblem.REFUSAL: ProblemFacts(
        reason="refusal", is_asked_again=False, is_about_the_text=True, advice=_FILTER
    ),
    AnswerProblem.CONTENT_FILTER: ProblemFacts(
        reason="content_filter", is_asked_again=False, is_about_the_text=True, advice=_FILTER
    ),
    AnswerProblem.CUT: ProblemFacts(
        reason="answer_cut_at_max_tokens",
        is_asked_again=False,
        advice=f"raise classifier.max_tokens, or {_THINKING}",
    ),
    AnswerProblem.UNCLEAR: ProblemFacts(advice="use a server that gives one plain answer"),
    AnswerProblem.NO_CONTENT: ProblemFacts(advice=f"{_FORM}; or {_THINKING}"),
    AnswerProblem.ONLY_REASONING: ProblemFacts(
        advice=f"{_THINKING}, or start the server with the reasoning parser of this model"
    ),
    AnswerProblem.ONLY_THINKING: ProblemFacts(
        advice=f"raise classifier.max_tokens, or {_THINKING}"
    ),
    AnswerProblem.NOT_JSON: ProblemFacts(advice=_FORM),
    AnswerProblem.NOT_AN_OBJECT: ProblemFacts(advice=_FORM),
    AnswerProblem.LABEL_MISSING: ProblemFacts(advice=_FORM),
    AnswerProblem.LABEL_WRONG: ProblemFacts(
        advice="declare the value in classifier.labels (null among the choices means "
        '"does not apply"), or say in the prompt which values there are'
    ),
    AnswerProblem.OTHER_WORD: ProblemFacts(
        advice="declare the word in classifier.words, or what comes before it in "
        "classifier.answer_prefix, or use the template that the model was trained with"
    ),
    AnswerProblem.WORD_UNFINISHED: ProblemFacts(advice="raise classifier.max_tokens"),
}


class InvalidAnswer(Exception):
    """A model's answer that holds no valid labels."""

    def __init__(self, problem: AnswerProblem, details: str = "") -> None:
        """Take the problem, and what the answer says."""
        super().__init__(details or problem.value)
        self.problem = problem
        self.details = details

    @property
    def facts(self) -> ProblemFacts:
        """What follows from the problem."""
        return PROBLEMS[self.problem]

    @property
    def reason(self) -> str:
        """The reason of a post that gets this answer."""
        return self.facts.reason + (f": {self.details}" if self.details else "")
