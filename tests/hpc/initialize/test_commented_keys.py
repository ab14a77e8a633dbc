"""Each key stands in the file with a comment, and removing a `#` changes nothing."""

import re
from typing import Any

import pytest

from hpc.config.run_config import ConfigurationFile
from hpc.initialize.files.commented_keys import commented_keys
from hpc.run.cluster.resources import ClusterTemplate
from pipeline.classifiers import registry
from pipeline.config import strict_yaml
from pipeline.config.check import Problems, check
from pipeline.config.keys import keys_of

REQUIRED: dict[str, dict[str, Any]] = {
    "moderation": {"base_url": "https://a.b/v1", "model": "m", "categories": "openai"},
    "llm": {
        "base_url": "http://localhost/v1",
        "model": "m",
        "prompt": "p.txt",
        "labels": ({"name": "a", "type": "bool"},),
    },
    "guard": {
        "base_url": "http://localhost/v1",
        "model": "m",
        "messages": ({"role": "user", "content": "{text}"},),
        "label": "unsafe",
        "words": {"unsafe": True, "safe": False},
    },
    "transformers": {"model": "a/b", "revision": "c"},
}
SECTIONS = [
    pytest.param(ClusterTemplate, {"time": "4:00:00", "setup": ("module load a b",)}, id="cluster"),
    *(
        pytest.param(registry.load(kind).options_type, REQUIRED.get(kind, {}), id=kind)
        for kind in ("perspective", "valence", *REQUIRED)
    ),
]


def read(section: type, lines: list[str]) -> Any:
    problems = Problems()
    values = strict_yaml.read("\n".join(lines))
    found = check(section, values, source="file", problems=problems)
    problems.raise_any()
    return found


def uncommented(lines: list[str]) -> list[str]:
    """The lines with every key that stands behind `#` set to its default."""
    return [re.sub(r"^( *)#(?=[a-z])", r"\1", line) for line in lines]


@pytest.mark.parametrize(("section", "given"), SECTIONS)
def test_removing_every_number_sign_changes_nothing(section: type, given: dict[str, Any]) -> None:
    lines = commented_keys(section, given)
    assert read(section, lines) == read(section, uncommented(lines))


@pytest.mark.parametrize(("section", "given"), SECTIONS)
def test_every_key_is_there_and_has_a_comment(section: type, given: dict[str, Any]) -> None:
    lines = commented_keys(section, given)
    names = {name for name, key in keys_of(section).items() if not key.facts.recorded}
    shown = {found[1] for line in lines if (found := re.match(r"#?([a-z]\w*):", line))}
    assert shown == names
    for number, line in enumerate(lines):
        if re.match(r"#?[a-z]\w*:", line):
            assert lines[number - 1].startswith("# ")
        assert len(line) <= 100


def test_a_key_that_a_section_must_not_have_is_left_out() -> None:
    lines = commented_keys(ConfigurationFile, {}, without={"cluster", "classifier"})
    assert not [line for line in lines if re.match(r"#?(cluster|classifier):", line)]
