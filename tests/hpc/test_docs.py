"""The documentation is what the code does: the same rules, causes, remedies, questions."""

import re
from pathlib import Path

from hpc.run.model import State
from hpc.run.plan import REMEDY
from pipeline.classifiers import base

TEXT = (Path(__file__).parents[2] / "docs" / "states.md").read_text()


def test_every_cause_is_explained_with_its_remedy() -> None:
    rows = re.findall(r"^\| (\w+) \| .+ \| (\w+).* \|$", TEXT, re.MULTILINE)
    told = {cause: remedy for cause, remedy in rows if cause != "cause"}
    assert told == {str(cause): str(remedy) for cause, remedy in REMEDY.items()}


def test_every_state_has_a_rule_and_the_rules_are_the_judges() -> None:
    rules = dict(re.findall(r"^(\d)\. .*?\*\*(\w+)\*\*", TEXT, re.MULTILINE | re.DOTALL))
    judge = (Path(__file__).parents[2] / "hpc" / "run" / "judge.py").read_text()
    coded = set(re.findall(r"verdict\(\s*(\d), State\.(\w+)", judge))
    assert {(number, state.upper()) for number, state in rules.items()} == coded
    assert set(rules.values()) == {str(state) for state in State}


def test_which_edits_leave_the_question_as_it_was() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuring.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ([^|]*) \|([^|]*)\|$", text, re.MULTILINE)
    told = {kind: set(re.findall(r"`(\w+)`", same)) for kind, other, same in rows if other and same}
    shipped = ("perspective", "llm", "transformers", "valence")
    assert {kind: told[kind] for kind in shipped} == {
        kind: set(base.load(kind).operational) for kind in shipped
    }
