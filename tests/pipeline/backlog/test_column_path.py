"""A dotted name means the longest column that it begins with, and keys inside that column."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backlog.column_path import (
    ColumnPath,
    find_path,
    join_parts,
    json_pointer,
    split_path,
)


@pytest.mark.parametrize(
    ("name", "columns", "column", "keys"),
    [
        ("text", ["text"], "text", ()),
        ("record.text", ["record"], "record", ("text",)),
        ("record.reply.text", ["record"], "record", ("reply", "text")),
        ("record.text", ["record", "record.text"], "record.text", ()),
        ("a.b.c", ["a", "a.b"], "a.b", ("c",)),
        ('"a.b".c', ["a", "a.b"], "a.b", ("c",)),
        ('record."app.text"', ["record"], "record", ("app.text",)),
        ('"record.text"', ["record.text", "record"], "record.text", ()),
        ('record."say ""hi"""', ["record"], "record", ('say "hi"',)),
        ('the "text"', ['the "text"'], 'the "text"', ()),
        (".text", [".text", "text"], ".text", ()),
    ],
)
def test_a_name_means_the_longest_column_and_then_keys(
    name: str, columns: list[str], column: str, keys: tuple[str, ...]
) -> None:
    assert find_path(name, columns) == ColumnPath(column=column, keys=keys)


@pytest.mark.parametrize("name", ["body", "body.text", "record", "record.", ".record", 'text."x'])
def test_a_name_that_no_column_begins_is_not_found(name: str) -> None:
    assert find_path(name, ["text", "records", "Record"]) is None


@given(st.lists(st.text(min_size=1), min_size=1).map(tuple))
def test_any_parts_survive_being_written_as_a_path(parts: tuple[str, ...]) -> None:
    assert split_path(join_parts(parts)) == parts


def test_a_json_pointer_escapes_what_has_a_meaning_in_it() -> None:
    assert json_pointer(("a/b", "c~d", "e.f")) == "/a~1b/c~0d/e.f"
