"""A message names an argument for somebody in Python, and a flag for somebody at a shell."""

import argparse
import ast
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hpc import api
from hpc.command_line.cli import VERBS, build_parser
from tests.docs.pages import ROOT
from tests.hpc.api.conftest import CONFIG
from tests.hpc.in_process import call_verb

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
# What only a command does, or asks a person.
AT_SHELL_ONLY = {"command_line", "initialize"}
# These write commands for a person to type, and the first two lines of a run's configuration.
WRITE_COMMANDS = {
    "hpc/config/recorded_settings.py",
    "hpc/display/next_step.py",
    "hpc/executors/slurm/caretaker_jobs.py",
    "hpc/labels/hand_over.py",
    "hpc/reconcile/caretaker.py",
    "pipeline/classifiers/transformers/hub.py",
    "pipeline/messages/options.py",
}
COMMAND_BUILDERS = {"command", "NextStep"}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# `hpc gather --rebuild` is a command to type, wherever it is read.
PART_OF_COMMAND = re.compile(
    rf"\b(?:hpc )?(?:{'|'.join(VERBS)})(?: (?:--[a-z-]+|[A-Z]+|[a-z_.]+=\S+|\{{\}}))* $"
)


def flags() -> set[str]:
    """Return the flags of all verbs."""
    found: set[str] = set()
    for verb in VERBS:
        parser = build_parser([importlib.import_module(f"hpc.{verb}").VERB])
        (subparsers,) = (
            each for each in parser._actions if isinstance(each, argparse._SubParsersAction)
        )
        for action in subparsers.choices[verb]._actions:
            found |= {option for option in action.option_strings if option.startswith("--")}
    return found - {"--help"}


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each text of a module that is no docstring and no word of a command, and its line."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant() as text):
                skipped.add(id(text))
            case ast.Call(func=ast.Name(id=name)) if name in COMMAND_BUILDERS:
                skipped |= {id(part) for part in ast.walk(node)}
            case ast.JoinedStr() if id(node) not in skipped:
                skipped |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (each.value if isinstance(each, ast.Constant) else "{}" for each in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def bare_flags(text: str, known: set[str]) -> list[str]:
    return [
        found[0]
        for found in FLAG.finditer(text)
        if found[0] in known and not PART_OF_COMMAND.search(text[: found.start()])
    ]


def modules() -> list[Path]:
    """Return the modules whose messages a caller of the library may read."""
    found = []
    for package in ("hpc", "pipeline"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT)
            is_verb = name.parts[0] == "hpc" and len(name.parts) == 2
            if not (is_verb or name.parts[1] in AT_SHELL_ONLY or str(name) in WRITE_COMMANDS):
                found.append(path)
    return found


def test_no_message_of_the_library_has_a_bare_flag() -> None:
    known = flags()
    assert {"--where", "--force", "--run-root"} <= known
    found = [
        f"{path.relative_to(ROOT)}:{line}: {flag}"
        for path in modules()
        if path.name != "reference_page.py"
        for line, text in texts(ast.parse(path.read_text(encoding="utf-8")))
        for flag in bare_flags(text, known)
    ]
    assert found == [], "name options by pipeline.messages.options"


ERRORS: list[tuple[Callable[[], object], str, Sequence[str], str]] = [
    (
        lambda: api.export("valence", "labels.txt"), "to='",
        ("export", "valence", "--to", "labels.txt"), "--to ",
    ),
    (
        lambda: api.export("valence", "full.csv"), "replace=True",
        ("export", "valence", "--to", "full.csv"), "--force",
    ),
    (
        lambda: api.labels("valence", where="compound > 0; 1"), "where='compound > 0; 1'",
        ("export", "valence", "--to", "a.csv", "--where", "compound > 0; 1"),
        "--where compound > 0; 1",
    ),
    (
        lambda: api.labels("valence", columns=["none"]), "columns='none'",
        ("export", "valence", "--to", "a.csv", "--columns", "none"), "--columns none",
    ),
    (
        lambda: api.labels("valence", with_source=["none"], at=api.Place(config=CONFIG)),
        "with_source='none'",
        ("export", "valence", "--to", "a.csv", "--join", "none", "--config", CONFIG),
        "--join none",
    ),
    (
        lambda: api.sample("valence", "a.txt", 5), "to='",
        ("sample", "valence", "--out", "a.txt", "--n", "5"), "--out ",
    ),
    (
        lambda: api.sample("valence", "a.csv", 5000), "size=5000",
        ("sample", "valence", "--out", "a.csv", "--n", "5000"), "--n 5000",
    ),
    (
        lambda: api.sample("valence", "a.csv", 5, settings=api.SampleSettings(overlap=2)),
        "coders=2",
        ("sample", "valence", "--out", "a.csv", "--n", "5", "--overlap", "2"), "--coders 2",
    ),
    (
        lambda: api.sample("valence", "a.csv", 5, settings=api.SampleSettings(stratify="none")),
        "stratify='none'",
        ("sample", "valence", "--out", "a.csv", "--n", "5", "--stratify", "none"),
        "--stratify none",
    ),
    (
        lambda: api.sample("valence", "a.csv", 5, settings=api.SampleSettings(labels="a:b:c:d")),
        "labels='a:b:c:d'",
        ("sample", "valence", "--out", "a.csv", "--n", "5", "--labels", "a:b:c:d"),
        "--labels a:b:c:d",
    ),
    (
        lambda: api.status(at=api.Place(run_root="nowhere")), "Place.run_root",
        ("status", "--run-root", "nowhere"), "--run-root",
    ),
    (
        lambda: api.compare("a", "b", at=api.Place(database="none")), "Place.database",
        ("compare", "a", "b", "--database", "none"), "--database",
    ),
    (
        lambda: api.compare("a", gold="a"), "gold='a'",
        ("compare", "a", "--gold", "a"), "--gold a",
    ),
    (
        lambda: api.submit(CONFIG, overrides=["name"]), "overrides ",
        ("submit", "--config", CONFIG, "--set", "name"), "--set ",
    ),
    (
        lambda: api.submit(CONFIG, selection=api.Selection(where="true")), "only_labeled_by=NAME",
        ("submit", "--config", CONFIG, "--where", "true"), "--only-labeled-by NAME",
    ),
    (
        lambda: api.submit(CONFIG, selection=api.Selection(only_labeled_by="none")),
        "only_labeled_by='none'",
        ("submit", "--config", CONFIG, "--only-labeled-by", "none"), "--only-labeled-by none",
    ),
    (
        lambda: api.submit(CONFIG, selection=api.Selection(sample_name="none")),
        "sample=DrawRequest(size=N, seed=S)",
        ("submit", "--config", CONFIG, "--sample-name", "none"), "--sample N --seed S",
    ),
    (
        lambda: api.submit(
            CONFIG, selection=api.Selection(sample=api.DrawRequest(size=10**6, seed=1))
        ),
        "DrawRequest(size=1000000)",
        ("submit", "--config", CONFIG, "--sample", str(10**6), "--seed", "1"), "--sample 1000000",
    ),
    (
        lambda: api.submit(CONFIG, selection=api.Selection(after=("1",))), "after waits",
        ("submit", "--config", CONFIG, "--after", "1"), "--after waits",
    ),
    (
        lambda: api.report("valence", to="page.txt"), "to='",
        ("report", "valence", "--out", "page.txt"), "--out ",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "argument", "words", "flag"), ERRORS)
def test_an_error_names_the_argument_in_python_and_the_flag_at_a_shell(
    project: Path, call: Callable[[], object], argument: str, words: Sequence[str], flag: str
) -> None:
    (project / "full.csv").write_text("full")
    with pytest.raises(api.InputError) as caught:
        call()
    assert argument in str(caught.value)
    assert bare_flags(str(caught.value), flags()) == []
    verb, *arguments = words
    done = call_verb(verb, arguments, folder=project, env=ENVIRONMENT, modules=ROOT)
    assert done.returncode == 2
    assert flag in done.stderr
