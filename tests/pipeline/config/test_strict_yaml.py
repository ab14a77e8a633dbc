"""YAML of any size, depth and form is read or rejected, and never takes the machine's memory."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import strict_yaml
from pipeline.config.check import Problems, check
from pipeline.config.keys import Positive, Section
from pipeline.config.strict_yaml import InvalidYaml
from pipeline.config.yaml_file import apply_override, read_mapping
from pipeline.errors import InputError
from pipeline.limits import YAML_BYTES, YAML_LEVELS


def laughs(levels: int, *, text: str = "lol", times: int = 9) -> str:
    lines = [f"a0: &a0 [{', '.join([text] * times)}]"]
    for level in range(1, levels):
        aliases = ", ".join([f"*a{level - 1}"] * times)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    return "\n".join(lines)


def merges(levels: int) -> str:
    lines = ["a0: &a0 {k: 1, l: 2}"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}")
    return "\n".join(lines)


TOO_MUCH = {
    "laughs": laughs(20),
    "long laughs": laughs(5, text="x" * 10_000, times=4),
    "one long text many times": f"a: &a {'x' * 50_000}\nb: [{', '.join(['*a'] * 1000)}]",
    "merges": merges(20),
    "an alias in itself": "a: &a [*a]",
    "a mapping in itself": "a: &a {b: *a}",
    "lists": "[" * 1_000,
    "many lists": "[" * 100_000,
    "mappings": "{a: " * 1_000,
    "lines of lists": "".join(f"{' ' * n}-\n" for n in range(300)),
    "nested keys": "".join(f"{' ' * n}a:\n" for n in range(300)),
    "too long": "a: " + "x" * YAML_BYTES,
    "a long number": "a: " + "1" * 5_000,
    "a long hexadecimal number": "a: 0x" + "f" * 5_000,
    "a long binary number": "a: 0b" + "1" * 5_000,
}


@pytest.mark.parametrize("text", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_exceeds_a_limit_is_rejected_in_bounded_memory(text: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidYaml) as raised:
        strict_yaml.read(text)
    assert len(str(raised.value)) <= 1001
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize(
    "value",
    ['!!int ""', "!!int x", '!!float ""', "!!bool 1", "!!timestamp x", "!!binary é", "!!set [a]",
     "!!omap {a: 1}", "!!pairs x", "!!map []", "!!seq {}", "2024-13-01", "2024-01-01 99:99:99",
     "!!python/object:os.system x", "? [a]\n: b", "? {a: b}\n: c"],
)  # fmt: skip
def test_a_value_that_is_impossible_is_rejected(value: str) -> None:
    with pytest.raises(InvalidYaml):
        strict_yaml.read(f"a:\n  {value.replace(chr(10), chr(10) + '  ')}")


def test_aliases_and_merges_of_a_usual_size_are_read() -> None:
    text = "base: &base {a: 1, b: [2, 3]}\none: *base\ntwo: {<<: *base, a: 4}"
    base = {"a": 1, "b": [2, 3]}
    assert strict_yaml.read(text) == {"base": base, "one": base, "two": {"a": 4, "b": [2, 3]}}


@pytest.mark.parametrize(("levels", "is_read"), [(YAML_LEVELS, True), (YAML_LEVELS + 1, False)])
def test_lists_may_lie_in_one_another_up_to_a_limit(levels: int, is_read: bool) -> None:
    text = "[" * levels + "]" * levels
    if is_read:
        assert strict_yaml.read(text) == yaml.safe_load(text)
    else:
        with pytest.raises(InvalidYaml, match="nested"):
            strict_yaml.read(text)


ALPHABET = "ab01-:?,[]{}&*!|>'\"%@#\\<= \n\t~.é\u2028\x85"


@given(st.lists(st.sampled_from([*ALPHABET, "&a ", "*a", "<<: ", "!!int ", "- ", ": "])))
def test_any_text_is_read_or_rejected(pieces: list[str]) -> None:
    try:
        strict_yaml.read("".join(pieces))
    except InvalidYaml as error:
        assert str(error)


class Sheet(Section, frozen=True, kw_only=True):
    rows: Positive = 1


def test_many_wrong_keys_are_reported_in_a_few_lines() -> None:
    """Looking for the nearest name of each would take minutes."""
    problems = Problems()
    check(Sheet, {f"key{n}": n for n in range(20_000)}, source="a.yaml", problems=problems)
    with pytest.raises(InputError) as raised:
        problems.raise_any()
    assert str(raised.value).count("\n") < 60


@pytest.mark.parametrize("kind", ["pipe", "endless", "large", "folder"])
def test_a_file_that_is_no_configuration_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.yaml"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "endless":
            path.symlink_to("/dev/zero")
        case "large":
            with path.open("wb") as stream:
                stream.truncate(2**40)
        case "folder":
            path.mkdir()
    with pytest.raises(InputError):
        read_mapping(path)


def test_an_override_leads_to_no_depth_that_no_check_can_walk() -> None:
    with pytest.raises(InputError):
        apply_override({}, f"{'a.' * 10_000}b=1")


@pytest.mark.parametrize(
    "text",
    [
        "**/*.csv",
        "*.parquet",
        "*",
        "\"like\" = 'x' AND lang = 'en'",
        "'en' = lang",
        "'it''s' <> text",
        '"a\\" b" > 1',
        "@daily",
        "%a",
    ],
)
def test_an_override_that_can_only_be_a_text_needs_no_quotes(text: str) -> None:
    values: dict[str, Any] = {}
    apply_override(values, f"backlog.where={text}")
    assert values == {"backlog": {"where": text}}


@pytest.mark.parametrize(
    ("text", "value"),
    [('"**/*.csv"', "**/*.csv"), ("'en'", "en"), ('"en" # note', "en")],
)
def test_an_override_in_quotes_is_yaml(text: str, value: str) -> None:
    values: dict[str, Any] = {}
    apply_override(values, f"a={text}")
    assert values == {"a": value}


@pytest.mark.parametrize("text", ['"abc', "'abc", "[*.csv]", "{a: *.csv}", "a: b: c", "["])
def test_an_override_that_begins_as_yaml_and_breaks_off_is_rejected(text: str) -> None:
    with pytest.raises(InputError):
        apply_override({}, f"a={text}")
