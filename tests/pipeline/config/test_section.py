from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.section import Section
from pipeline.errors import InputError


def section(values: Any, *folders: Path, path: str = "classifier") -> Section:
    return Section(values, path=path, source="run.yaml", folders=folders)


def refusal(read: Callable[[Section], Any], values: Any) -> str:
    with pytest.raises(InputError) as refused:
        read(section(values))
    return str(refused.value)


def test_values_are_given_as_they_are() -> None:
    values = {
        "text": "a",
        "empty": "",
        "integer": 3,
        "number": 2,
        "boolean": False,
        "choice": "b",
        "texts": ["x", "y"],
        "inner": {"key": 1},
        "list": [{"key": 2}, None],
    }
    one = section(values)
    assert one.text("text") == "a"
    assert one.integer("integer") == 3
    assert one.text("empty", may_be_empty=True) == ""
    assert one.number("number") == 2.0
    assert one.time("number") == 2.0
    assert isinstance(one.number("number"), float)
    assert one.boolean("boolean") is False
    assert one.choice("choice", ("a", "b")) == "b"
    assert one.texts("texts") == ["x", "y"]
    assert one.section("inner").integer("key") == 1
    first, second = one.sections("list")
    assert (first.integer("key"), second.integer("key", 7)) == (2, 7)
    one.done()


def test_null_can_be_told_from_absent() -> None:
    one = section({"null": None, "zero": 0})
    assert [one.is_null(key) for key in ("null", "zero", "absent")] == [True, False, False]
    one.done()


def test_what_is_absent_or_null_has_its_default() -> None:
    for values in ({}, {"key": None}, None):
        one = section(values)
        assert one.text("key", "d") == "d"
        assert one.integer("key", 1) == 1
        assert one.number("key", None) is None
        assert one.time("key", None) is None
        assert one.boolean("key", True) is True
        assert one.choice("key", ("a",), "a") == "a"
        assert one.texts("key", []) == []
        assert not one.has("key")
        one.section("key").done()
        one.done()


@pytest.mark.parametrize(
    ("read", "value", "problem"),
    [
        (lambda s: s.text("k"), 5, "should be text, not 5"),
        (lambda s: s.text("k"), " ", "is empty: give it a value, or leave the key out"),
        (lambda s: s.time("k"), 0, "should be more than 0, not 0"),
        (lambda s: s.time("k"), 1e10, "should be 10,000,000 at most, not 10000000000.0"),
        (lambda s: s.integer("k"), "5", "should be a whole number, 0 or more, not '5'"),
        (lambda s: s.integer("k"), True, "should be a whole number, 0 or more, not True"),
        (lambda s: s.integer("k"), 1.5, "should be a whole number, 0 or more, not 1.5"),
        (lambda s: s.integer("k", least=2), 1, "should be a whole number, 2 or more, not 1"),
        (lambda s: s.number("k"), "1", "should be a number, not '1'"),
        (lambda s: s.number("k"), True, "should be a number, not True"),
        (lambda s: s.number("k", above=0), float("nan"), "should be a number, not nan"),
        (lambda s: s.number("k"), float("inf"), "should be a number, not inf"),
        (lambda s: s.number("k"), 10**400, f"should be a number, not 1{'0' * 400}"),
        (lambda s: s.number("k", above=0), 0, "should be more than 0, not 0"),
        (lambda s: s.boolean("k"), 1, "should be true or false, not 1"),
        (
            lambda s: s.choice("k", ("red", "blue")),
            3,
            "should be one of red, blue, not 3",
        ),
        (
            lambda s: s.choice("k", ("red", "blue")),
            "blu",
            "should be one of red, blue, not 'blu' (did you mean 'blue'?)",
        ),
        (lambda s: s.texts("k"), "a", "should be a list of texts, not 'a'"),
        (lambda s: s.texts("k"), ["a", 1], "should be a list of texts, not ['a', 1]"),
        (lambda s: s.section("k"), "a", "should be a mapping of keys, not 'a'"),
        (lambda s: s.sections("k"), [], "should be a list with at least one item, not []"),
        (lambda s: s.sections("k"), {}, "should be a list with at least one item, not {}"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_path(
    read: Callable[[Section], Any], value: Any, problem: str
) -> None:
    assert refusal(read, {"k": value}) == f"run.yaml: classifier.k: {problem}"


def test_an_item_of_a_list_is_named_by_its_place() -> None:
    def read(one: Section) -> None:
        one.sections("labels")[1].section("scale").integer("low")

    values = {"labels": [{}, {"scale": {"low": "x"}}]}
    assert refusal(read, values) == (
        "run.yaml: classifier.labels[1].scale.low: should be a whole number, 0 or more, not 'x'"
    )
    assert refusal(lambda one: one.sections("labels"), {"labels": [{}, 5]}) == (
        "run.yaml: classifier.labels[1]: should be a mapping of keys, not 5"
    )


def test_a_missing_key_is_refused_with_the_name_it_may_have_been_given() -> None:
    assert refusal(lambda one: one.text("model"), {}) == "run.yaml: classifier.model: is missing"
    assert refusal(lambda one: one.text("model"), {"modle": "x"}) == (
        "run.yaml: classifier.model: is missing (is 'modle' meant to be it?)"
    )


def test_a_key_that_nothing_reads_is_refused_with_the_nearest_name() -> None:
    def read(one: Section) -> None:
        one.integer("max_attempts", 4)
        one.done()

    assert refusal(read, {"max_atempts": 3}) == (
        "run.yaml: classifier.max_atempts: is not a key that anything reads "
        "(did you mean 'max_attempts'?)"
    )
    assert refusal(read, {7: 3}) == "run.yaml: classifier.7: is not a key that anything reads"


def test_the_whole_file_has_no_path() -> None:
    with pytest.raises(InputError) as refused:
        section([1], path="")
    assert str(refused.value) == "run.yaml: the file: should be a mapping of keys, not [1]"
    with pytest.raises(InputError) as refused:
        section({"nmae": 1}, path="").done()
    assert str(refused.value) == "run.yaml: nmae: is not a key that anything reads"


def test_an_input_file_is_the_first_folders_that_has_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    one = section({"prompt": "p.txt"}, first, second)
    with pytest.raises(InputError) as refused:
        one.input_file("prompt")
    assert str(refused.value) == (
        f"run.yaml: classifier.prompt: there is no file {first / 'p.txt'} or {second / 'p.txt'}"
    )
    (second / "p.txt").touch()
    assert one.input_file("prompt") == second / "p.txt"
    (first / "p.txt").touch()
    assert one.input_file("prompt") == first / "p.txt"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"caf\xe9", "is not UTF-8: 'utf-8' codec can't decode byte 0xe9 in position 3: unexpected "
         "end of data"),
        (b" \n", "is empty"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_meant_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        section({"prompt": "p.txt"}, tmp_path).input_text("prompt")
    assert str(refused.value) == f"run.yaml: classifier.prompt: {path} {problem}"


def test_a_text_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(" {é} %s\n", encoding="utf-8")
    assert section({"prompt": "p.txt"}, tmp_path).input_text("prompt") == " {é} %s\n"
