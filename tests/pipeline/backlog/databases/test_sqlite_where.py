"""A condition on a SQLite table selects what it says, or is rejected."""

from pathlib import Path

import pytest

from pipeline.backlog.databases.sqlite_where import names_that_are_no_texts
from tests.pipeline.backlog.databases.database_files import make, rejected, uris
from tests.pipeline.backlog.source_files import STAMP

MADE = 'CREATE TABLE posts (uri, text, preprocessing_timestamp, "a ""b"" `c`", [en], lang)'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [("u1", "fine day", STAMP, 1, 2, "en"), ("u2", "fine day", STAMP, 3, 4, 'a "b"')]
    return make(tmp_path / "posts.db", MADE, rows=rows)


@pytest.mark.parametrize(
    "where",
    [
        "\"lang\" = 'en'",
        '"a ""b"" `c`" = 1',
        '"posts"."en" = 2',
        '"EN" = 2',
        "[lang] = 'en'",
        "`lang` = 'en'",
        '"rowid" = 1',
        "lang <> 'a \"b\"'",
        "lang = 'en' -- \"nope\"",
        "lang = /* \"nope\" */ 'en'",
        'uri IN (SELECT "inner"."uri" FROM posts AS "inner" WHERE "inner".lang = \'en\')',
    ],
)
def test_names_and_texts_in_any_quotes_mean_what_they_say(path: Path, where: str) -> None:
    assert uris(path, where=where) == ["u1"]


@pytest.mark.parametrize(
    "where",
    [
        "\"lnag\" = 'en'",
        'lang = "fr"',
        "\"lnag\" = 'en' OR lang = 'fr'",
        "uri = 'u1' AND /* a ' */ \"lnag\" IS NOT NULL",
        "lang = 'en') OR (1 = 1",
        "lang = 'en' ORDER BY uri",
        "lang = 'en'; DELETE FROM posts",
    ],
)
def test_a_condition_that_would_silently_mean_something_else_is_rejected(
    path: Path, where: str
) -> None:
    rejected(path, where=where)


def test_only_names_in_double_quotes_change() -> None:
    condition = """'a "b"' "c""d" [e "f"] `g "h"` "i`j" -- "k\n /* "l" */ "m" "n"""
    assert names_that_are_no_texts(condition) == (
        """'a "b"' `c"d` [e "f"] `g "h"` `i``j` -- "k\n /* "l" */ `m` "n"""
    )
