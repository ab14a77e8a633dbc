"""Which columns look like uri, text and time."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.initialize.source.facts import TableFacts
from hpc.initialize.source.propose_columns import Columns, propose_columns, propose_table
from hpc.initialize.source.sample_values import describe_columns

PROSE = ["What a lovely day this is", "I do not agree with this at all", "Never again, my friends"]
ISO = ["2024-05-31T10:00:00Z", "2024-05-31 11:00", "2024-06-01"]
LAB = ["2024-05-31-10:00:00", "2024-05-31-11:00:00", "2024-06-01-00:00:00"]
Values = Mapping[str, Sequence[object]]


def table(values: Values, name: str = "t", unique: Sequence[str] = ()) -> TableFacts:
    rows = list(zip(*values.values(), strict=True))
    columns = describe_columns(dict.fromkeys(values, ""), rows, unique)
    return TableFacts(name=name, columns=columns, rows=len(rows))


def convincing(columns: Columns) -> tuple[str | None, str | None, str | None]:
    """The columns that are taken without asking, as uri, text and time."""
    uri, text, time = (
        each.column if each and each.is_convincing else None
        for each in (columns.uri, columns.text, columns.time)
    )
    return uri, text, time


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"uri": ["a", "b", "c"], "text": PROSE, "preprocessing_timestamp": LAB},
         ("uri", "text", "preprocessing_timestamp")),
        # When a post was collected orders posts better than when it was written.
        ({"created_at": ISO, "id": [1, 2, 3], "body": PROSE, "indexed_at": ISO},
         ("id", "body", "indexed_at")),
        ({"Tweet ID": ["1", "2", "3"], "Full-Text": PROSE, "createdAt": ISO},
         ("Tweet ID", "Full-Text", "createdAt")),
        # Not unique, so no uri; a declared key of another name is one.
        ({"id": [1, 1, 2], "nr": [1, 2, 3], "text": PROSE, "date": ISO}, (None, "text", "date")),
        # A floating-point number may have lost digits.
        ({"id": [1.0, 2.0, 3.0], "text": PROSE, "date": ISO}, (None, "text", "date")),
        # Seconds since 1970 are no times that the program reads.
        ({"id": [1, 2, 3], "text": PROSE, "created_utc": [1717149600, 1717149601, 1717149602]},
         ("id", "text", None)),
        # Nothing is called so, but the content says it.
        ({"a": ["x1", "x2", "x3"], "b": PROSE, "c": ISO}, (None, "b", "c")),
        # A column is called text and holds none.
        ({"id": ["1", "2", "3"], "text": ["1", "2", "3"], "comment": PROSE, "date": ISO},
         ("id", "comment", "date")),
        ({"id": [None, None, None], "text": [None, None, None], "date": [None, None, None]},
         (None, None, None)),
    ],
)  # fmt: skip
def test_names_and_contents_decide(
    values: Values, expected: tuple[str | None, str | None, str | None]
) -> None:
    assert convincing(propose_columns(table(values))) == expected


def test_fields_inside_records_are_columns_too() -> None:
    records = [{"text": text, "langs": ["en"], "createdAt": "2024-05-31"} for text in PROSE]
    values: Values = {"uri": ["a", "b", "c"], "record": records}
    assert convincing(propose_columns(table(values))) == ("uri", "record.text", "record.createdAt")


def test_a_declared_key_is_a_uri_whatever_it_is_called() -> None:
    columns = propose_columns(table({"nr": [1, 2, 3], "b": PROSE}, unique=["nr"]))
    assert columns.uri
    assert columns.uri.column == "nr"
    assert "declared unique" in columns.uri.why


def test_a_table_is_proposed_only_if_it_fits_best() -> None:
    posts = table({"id": [1, 2, 3], "text": PROSE, "date": ISO}, "posts")
    authors = table({"handle": ["a", "b", "c"], "bio": PROSE}, "authors")
    assert propose_table([authors, posts]) == posts
    assert propose_table([authors]) == authors
    twin = table({"id": [1, 2, 3], "text": PROSE, "date": ISO}, "posts_backup")
    assert propose_table([authors, posts, twin]) is None
    assert propose_table([]) is None


CELLS = st.none() | st.text(max_size=20) | st.integers() | st.floats() | st.booleans()


@given(
    st.lists(st.tuples(st.text(max_size=8), st.lists(CELLS, min_size=3, max_size=3)), max_size=6)
)
def test_whatever_a_table_holds_no_column_gets_two_roles(
    columns: list[tuple[str, list[object]]],
) -> None:
    proposed = propose_columns(table(dict(columns) or {"a": []}))
    names = [each.column for each in (proposed.uri, proposed.text, proposed.time) if each]
    assert len(names) == len(set(names))
    assert set(names) <= dict(columns).keys()
