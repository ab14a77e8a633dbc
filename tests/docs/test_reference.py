"""The reference pages say what the code does: states, causes, exit codes, keys, columns."""

import re
from collections.abc import Iterator

from hpc.config.run_config import ConfigurationFile
from hpc.display.backlog_audit import NOTES
from hpc.run.causes import REMEDY
from hpc.run.model.shards import State
from hpc.run.run_state import EXIT_CODE
from pipeline.classifiers import registry
from pipeline.classifiers.perspective.columns import ATTRIBUTES
from pipeline.config.keys import Section, keys_of, section_in
from tests.docs import pages
from tests.docs.pages import read
from tests.hpc.run.test_judge import STATE_OF_RULE

STATES = read("docs/reference/states.md")
SHIPPED = ("perspective", "llm", "guard", "moderation", "transformers", "valence", "external")


def test_every_state_is_explained() -> None:
    assert {row[0] for row in STATES.table("States")} == {str(state) for state in State}


def test_the_rules_have_the_numbers_and_states_of_the_judge() -> None:
    rules = re.findall(r"^(\d)\. (.*?)(?=^\d\. |\n\n)", STATES.text, re.MULTILINE | re.DOTALL)
    last_state = {int(number): re.findall(r"\*\*(\w+)\*\*", text)[0] for number, text in rules}
    assert last_state == {rule: str(state) for rule, state in STATE_OF_RULE.items()}


def test_every_cause_is_explained_with_its_remedy() -> None:
    table = STATES.table("Causes and remedies")
    documented = {cause: remedy.partition(":")[0] for cause, _, remedy in table}
    assert documented == {str(cause): str(remedy) for cause, remedy in REMEDY.items()}


def test_the_exit_code_of_every_state_of_a_run_is_documented() -> None:
    page = read("docs/reference/exit-codes.md").text
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (\d) \|$", page, re.MULTILINE)
    documented = {state: int(code) for states, code in rows for state in re.findall(r"\w+", states)}
    assert documented == {str(state): code for state, code in EXIT_CODE.items()}


def test_the_page_on_configuring_says_which_edits_leave_labels_comparable() -> None:
    table = read("docs/how-to/configure.md").table("What an edit means")
    documented = {kind: set(re.findall(r"`(\w+)`", same)) for kind, _, same in table}
    assert {kind: documented[kind] - {"command"} for kind in SHIPPED} == {
        kind: {
            name
            for name, key in keys_of(registry.load(kind).options_type).items()
            if not key.facts.changes_labels and name != "keep_raw"
        }
        for kind in SHIPPED
    }


def key_paths(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield the path of every key that a section and the sections in it declare."""
    for name, declared in keys_of(section).items():
        yield f"{prefix}{name}"
        if inner := section_in(declared.annotation):
            yield from key_paths(inner, f"{prefix}{name}.")


def test_a_key_in_a_sentence_or_in_a_command_exists() -> None:
    known = {*key_paths(ConfigurationFile), "classifier.type"}
    for kind in SHIPPED:
        known |= set(key_paths(registry.load(kind).options_type, "classifier."))
    sections = "|".join(sorted(keys_of(ConfigurationFile)))
    for name in pages.NAMES:
        page = read(name)
        settings = [word for words in page.commands for word in words if "=" in word]
        for text in (*page.code_spans, *settings):
            # `cluster.yaml` is a file.
            path = re.match(rf"(?:{sections})(?:\.(?!yaml\b)\w+)+", text)
            assert not path or path[0] in known, f"{name}: {text}"


def test_every_attribute_of_perspective_is_listed_with_its_column() -> None:
    page = read("docs/reference/tables.md").text
    listed = re.findall(r"^\| ([A-Z_]+) \| `(\w+)` \|$", page, re.MULTILINE)
    assert dict(listed) == ATTRIBUTES


def test_every_place_of_the_audit_is_explained() -> None:
    page = read("docs/reference/commands.md").text
    section = page.split("Every post is in exactly one place:")[1].split("\n\n")[1]
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == [str(place) for place in NOTES]
