"""Start a project: observe, ask, plan and write."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc.config import descriptions
from hpc.display.blocks import Line
from hpc.display.console import Printer
from hpc.initialize.files.check_files import check_files
from hpc.initialize.files.names import GITIGNORE
from hpc.initialize.files.plan_files import Surroundings, plan_files
from hpc.initialize.files.write_files import Written, write_files
from hpc.initialize.given import Given
from hpc.initialize.questions.dialog import NOT_WRITTEN, Dialog
from hpc.initialize.questions.interview import Answers, ask_everything
from hpc.initialize.questions.unattended import Unattended
from hpc.initialize.site import Site, observe_site
from pipeline.classifiers import registry
from pipeline.errors import InputError, Interruption

_OPENING = (
    "hpc init asks a few questions and writes a configuration. Press Enter to accept what is in "
    "brackets. Ctrl-C quits without writing anything."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project that was just started."""

    folder: Path
    working_folder: Path
    answers: Answers
    written: Written
    variables: frozenset[str]
    """The environment variables that are set."""


def start_project(
    given: Given, shell: Mapping[str, str], printer: Printer, *, why_unattended: str
) -> Project:
    """Ask what is needed, and write the files.

    Args:
        given: the options of the command line.
        shell: the environment variables.
        printer: shows questions and what was found out.
        why_unattended: why nobody can be asked; '' to ask.

    Raises:
        InputError: an answer is missing or cannot be used, or a file is in the way.
        Interruption: the person left. Nothing was written.
    """
    try:
        return _start(given, shell, printer, why_unattended)
    except Interruption:
        raise
    except KeyboardInterrupt:
        raise Interruption(f"interrupted; {NOT_WRITTEN}") from None


def _start(
    given: Given, shell: Mapping[str, str], printer: Printer, why_unattended: str
) -> Project:
    _check_folder(given.folder)
    site = observe_site(given.folder, shell)
    unattended = Unattended(printer, why=why_unattended)
    if not why_unattended:
        printer.show(Line(_OPENING))
    answerer = unattended if why_unattended else Dialog(printer)
    answers = ask_everything(answerer, given, site, printer)
    unattended.raise_problems()
    assert answers is not None, "an answer is missing, and nobody said which"
    planned = plan_files(answers, _surroundings(given, answers, site))
    check_files(planned)
    written = write_files(given.folder, planned, force=given.force)
    return Project(
        folder=given.folder,
        working_folder=given.working_folder,
        answers=answers,
        written=written,
        variables=site.variables,
    )


def _check_folder(folder: Path) -> None:
    above = next(each for each in (folder, *folder.parents) if each.exists())
    if not above.is_dir():
        raise InputError(f"{above} is a file, not a folder: name the folder of the project")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{above} cannot be written to: name another folder for the project")


def _surroundings(given: Given, answers: Answers, site: Site) -> Surroundings:
    ignore = given.folder / GITIGNORE
    lines: frozenset[str] = frozenset()
    if ignore.is_file():
        lines = frozenset(ignore.read_text(encoding="utf-8", errors="replace").splitlines())
    return Surroundings(
        options_type=registry.load(answers.classifier.kind).options_type,
        configuration_schema=_as_json(descriptions.configuration_schema(registry.list_installed())),
        template_schema=_as_json(descriptions.template_schema()),
        is_in_repository=site.repository is not None,
        ignored=lines,
        has_ignore_file=ignore.is_file(),
    )


def _as_json(document: object) -> str:
    return json.dumps(document, indent=1) + "\n"
