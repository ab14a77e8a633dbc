"""The files that are made from the declared keys are current, and editors can use the schema."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpc.config import descriptions
from hpc.config.run_config import ConfigurationFile
from hpc.run.cluster.resources import ClusterTemplate
from pipeline.classifiers import registry
from pipeline.config.keys import Section, keys_of, section_in

ROOT = Path(__file__).parents[3]
SHIPPED = ("external", "guard", "llm", "moderation", "perspective", "transformers", "valence")
SCHEMA = descriptions.configuration_schema(SHIPPED)
REGENERATE = "run bash .ci/generate"


def as_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("configs/schema.json", as_text(SCHEMA)),
        ("slurm_templates/schema.json", as_text(descriptions.template_schema())),
        ("docs/reference/configuration.md", descriptions.reference_page(SHIPPED)),
    ],
)
def test_a_generated_file_is_current(name: str, text: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == text, REGENERATE


@pytest.mark.parametrize("folder", ["configs", "slurm_templates"])
def test_every_file_names_its_schema_in_the_first_line(folder: str) -> None:
    for path in (ROOT / folder).glob("*.yaml"):
        line = path.read_text(encoding="utf-8").partition("\n")[0]
        assert line == "# yaml-language-server: $schema=schema.json", path


def sections(section: type[Section]) -> list[type[Section]]:
    """Return a section and the sections in it."""
    inner = [section_in(key.annotation) for key in keys_of(section).values()]
    return [section, *(found for one in inner if one for found in sections(one))]


ALL_SECTIONS = [
    *sections(ConfigurationFile),
    *sections(ClusterTemplate),
    *(found for kind in SHIPPED for found in sections(registry.load(kind).options_type)),
]


@pytest.mark.parametrize("section", ALL_SECTIONS, ids=lambda section: section.__name__)
def test_every_key_has_a_sentence(section: type[Section]) -> None:
    for key in keys_of(section).values():
        assert re.fullmatch(r"[A-Z`].*[.]", key.description), f"{section.__name__}.{key.name}"


def test_a_key_that_the_program_computes_says_its_default_in_words() -> None:
    silent = {
        f"{section.__name__}.{key.name}"
        for section in ALL_SECTIONS
        for key in keys_of(section).values()
        if key.default is None and not key.facts.default and not key.facts.null
    }
    assert silent == set()


class Invalid(Exception):
    """A value that the schema does not allow."""


def check(schema: dict[str, Any], value: object) -> None:
    """Raise Invalid unless the value has the keys, types and values that the schema names."""
    if "$ref" in schema:
        return check(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], value)
    for choices in (schema.get("oneOf"), schema.get("anyOf")):
        if choices and sum(is_valid(choice, value) for choice in choices) == 0:
            raise Invalid(value)
    if "const" in schema and value != schema["const"]:
        raise Invalid(value)
    if "enum" in schema and value not in schema["enum"]:
        raise Invalid(value)
    if isinstance(value, dict) and "properties" in schema:
        if not set(schema.get("required", ())) <= value.keys() <= schema["properties"].keys():
            raise Invalid(value)
        for name, inner in value.items():
            check(schema["properties"][name], inner)
    if isinstance(value, list) and "items" in schema:
        for inner in value:
            check(schema["items"], inner)
    return None


def is_valid(schema: dict[str, Any], value: object) -> bool:
    try:
        check(schema, value)
    except Invalid:
        return False
    return True


FILES = [*(ROOT / "configs").glob("*.yaml"), *(ROOT / "tests/data/frozen").glob("every*.yaml")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_configuration_that_the_program_accepts_is_valid_by_the_schema(path: Path) -> None:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert is_valid(SCHEMA, values)
    assert not is_valid(SCHEMA, {**values, "nmae": "x"})
    assert not is_valid(SCHEMA, {**values, "classifier": {**values["classifier"], "modle": "x"}})
    assert not is_valid(SCHEMA, {**values, "cluster": {**values["cluster"], "executor": "pbs"}})


def test_what_the_program_records_is_no_key_of_a_configuration() -> None:
    assert "version" not in SCHEMA["$defs"]["ValenceOptions"]["properties"]
