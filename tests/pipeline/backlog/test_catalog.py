"""Names of tables and columns are matched as databases match them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backlog.catalog import CatalogTable, choose_table, find_column
from pipeline.backlog.column_path import ColumnPath, join_parts
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.sql import quoted
from tests.pipeline.backlog.source_files import configured

NAMES = st.text(st.sampled_from('aB.". é'), min_size=1, max_size=6)


def choose(table: str | None, *tables: CatalogTable) -> CatalogTable:
    backlog = configured("posts.duckdb", table=table)
    source = Source(source_files=(), backlog=backlog)
    return choose_table(source, Path("posts.duckdb"), tables)


def table_of(schema: str, name: str, *, has_posts: bool = True) -> CatalogTable:
    return CatalogTable(
        schema=schema, name=name, in_default_schema=schema == "main", has_posts=has_posts
    )


@given(schema=NAMES, name=NAMES)
def test_every_table_can_be_chosen_by_the_name_that_is_shown_and_by_its_sql(
    schema: str, name: str
) -> None:
    table = table_of(schema, name)
    assert choose(str(table), table) == table
    assert choose(f"{quoted(schema)}.{quoted(name)}", table) == table


@given(tables=st.lists(st.builds(table_of, NAMES, NAMES), min_size=1, max_size=4))
def test_no_name_means_a_table_that_it_does_not_spell(tables: list[CatalogTable]) -> None:
    for wanted in tables:
        try:
            chosen = choose(str(wanted), *tables)
        except InputError:
            continue  # two tables that are spelled alike
        assert str(chosen).lower() == str(wanted).lower()


def test_the_same_case_comes_before_another_case() -> None:
    lower, upper = table_of("main", "posts"), table_of("main", "POSTS")
    assert choose("POSTS", lower, upper) == upper
    with pytest.raises(InputError):
        choose("Posts", lower, upper)


def test_only_the_letters_a_to_z_have_a_case() -> None:
    with pytest.raises(InputError):
        choose("CAFÉ", table_of("main", "café"))


def test_the_only_table_with_posts_need_not_be_named() -> None:
    posts, counter = table_of("main", "posts"), table_of("main", "counter", has_posts=False)
    assert choose(None, counter, posts) == posts
    assert choose("counter", counter, posts) == counter
    with pytest.raises(InputError):
        choose(None, counter)


@pytest.mark.parametrize(
    ("name", "column", "keys"),
    [
        ("URI", "uri", ()),
        ("Record.text", "record", ("text",)),
        ("RECORD.Text.En", "record", ("Text", "En")),
        ('record."a.B"', "record", ("a.B",)),
        ("Author.handle", "author.handle", ()),
    ],
)
def test_a_column_is_found_in_any_case_and_its_keys_in_theirs(
    name: str, column: str, keys: tuple[str, ...]
) -> None:
    columns = ("uri", "record", "author.handle")
    assert find_column(name, columns) == ColumnPath(column=column, keys=keys)


@given(column=NAMES, keys=st.lists(NAMES, max_size=3).map(tuple))
def test_a_column_in_capitals_is_the_same_column(column: str, keys: tuple[str, ...]) -> None:
    name = join_parts((column.upper(), *keys))
    if column.isascii() and column.upper() != column:
        path = find_column(name, (column,))
        assert path == ColumnPath(column=column, keys=keys)
