"""Ask everything that a new project needs, in an order in which each answer helps the next."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec

from hpc.config.run_config import TableName
from hpc.initialize.files.names import TEMPLATE, configuration_name, prompt_name
from hpc.initialize.given import Given
from hpc.initialize.questions.ask_classifier import ClassifierAnswers, ask_classifier, ask_kind
from hpc.initialize.questions.ask_cluster import ask_executor, ask_resources
from hpc.initialize.questions.ask_source import SourceAnswers, ask_source
from hpc.initialize.questions.question import Answerer, InvalidAnswer, Question
from hpc.initialize.site import Site
from hpc.run.cluster.resources import ExecutorName
from hpc.run.model.run import Say
from pipeline.text import listed

_WITH_PROMPT = "llm"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Everything that a new project needs."""

    name: str
    source: SourceAnswers
    classifier: ClassifierAnswers
    executor: ExecutorName
    template: str
    """The template's file, as the configuration names it."""
    resources: Mapping[str, object] | None
    """What the template says; None to leave a template that exists as it is."""


def ask_everything(answerer: Answerer, given: Given, site: Site, say: Say) -> Answers | None:
    """Return the answers; None if one is missing, which the answerer knows.

    Raises:
        InputError: an option cannot be used.
        RunError: the source cannot be read now.
        Interruption: the person left.
    """
    answerer = _Remembering(answerer)
    source = ask_source(answerer, given)
    kind = ask_kind(answerer, given)
    name = _ask_name(answerer, given, kind) if kind else None
    classifier = ask_classifier(answerer, given, site, kind, name or kind, say) if kind else None
    executor = ask_executor(answerer, given, site)
    template = _ask_template(answerer, given)
    resources: Mapping[str, object] | None = {}
    is_new = template == TEMPLATE and not _exists(given, TEMPLATE)
    if executor is ExecutorName.SLURM and kind and is_new:
        resources = ask_resources(answerer, given, site, kind, say)
        if resources is None:
            return None
    if source is None or classifier is None or executor is None:
        return None
    if name is None or template is None:
        return None
    if unused := sorted(given.flags - answerer.flags):
        say(f"nothing here needs {listed(unused)}, so this was not used")
    return Answers(
        name=name,
        source=source,
        classifier=classifier,
        executor=executor,
        template=template,
        resources=resources if is_new else None,
    )


class _Remembering:
    """Passes questions on, and remembers which options answered one, or could have."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self.flags: set[str] = set()
        self.can_ask_again = answerer.can_ask_again

    def ask(self, question: Question, given: str | None) -> str | None:
        self.flags.add(question.flag)
        return self._answerer.ask(question, given)

    def reject(self, question: Question, problem: str) -> None:
        self._answerer.reject(question, problem)


def _exists(given: Given, name: str) -> bool:
    """Report whether a file is in the way: one that is not to be replaced."""
    return not given.force and os.path.lexists(given.folder / name)


def _ask_name(answerer: Answerer, given: Given, kind: str) -> str | None:
    def check(answer: str) -> str:
        try:
            msgspec.convert(answer, TableName)
        except msgspec.ValidationError:
            raise InvalidAnswer(
                "should be lower-case letters, digits and _, and begin with a letter, because it "
                "names a table"
            ) from None
        files = _files_of(answer, kind)
        if TEMPLATE in files:
            raise InvalidAnswer(f"cannot be {answer}, because {TEMPLATE} is the template")
        for file in files:
            if _exists(given, file):
                raise InvalidAnswer(
                    f"{given.folder / file} exists. Choose another name, or start again "
                    "with --force, which keeps the old file under another name"
                )
        return answer

    question = Question(
        flag="--name",
        text="What are the labels called? Their table is labels_NAME.",
        missing="a name for the labels",
        default=_free_name(given, kind) if answerer.can_ask_again else kind,
        why="it is the classifier's name",
        check=check,
    )
    return answerer.ask(question, given.name)


def _free_name(given: Given, kind: str) -> str:
    """Return the classifier's name, with a number if a file of the project has it already."""
    names = (kind if number == 1 else f"{kind}_{number}" for number in count(1))
    return next(
        name
        for name in names
        if TEMPLATE not in (files := _files_of(name, kind))
        and not any(_exists(given, file) for file in files)
    )


def _files_of(name: str, kind: str) -> tuple[str, ...]:
    """Return the files that a name of labels needs, without the template."""
    prompts = (prompt_name(name),) if kind == _WITH_PROMPT else ()
    return (configuration_name(name), *prompts)


def _ask_template(answerer: Answerer, given: Given) -> str | None:
    """Return the template as the configuration names it: a new one, unless there is one already."""
    if given.template is None and not _exists(given, TEMPLATE):
        return TEMPLATE

    def check(answer: str) -> str:
        for folder in (given.working_folder, given.folder):
            path = folder / Path(answer).expanduser()
            if path.is_file():
                inside = path.is_relative_to(given.folder)
                return str(path.relative_to(given.folder) if inside else path)
        raise InvalidAnswer(f"{answer} is not a file")

    question = Question(
        flag="--template",
        text=f"{TEMPLATE} exists. Which template should the configuration use?",
        missing="a file",
        unproposed=f"{given.folder / TEMPLATE} exists. Add --template {TEMPLATE} to use it as it "
        "is, or --force to keep it under another name and write a new one",
        default=TEMPLATE if answerer.can_ask_again else None,
        why="it exists, and stays as it is",
        check=check,
    )
    return answerer.ask(question, given.template)
