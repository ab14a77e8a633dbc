"""A table and its columns are found as a SELECT of SQLite finds them."""

from pathlib import Path

import pytest

from tests.pipeline.backlog.databases.database_files import (
    POSTS,
    make,
    rejected,
    texts,
    uris,
)
from tests.pipeline.backlog.source_files import STAMP

POST = ("u1", "fine day", STAMP)
READ = {"u1": ("fine day", None)}
NOT_POSTS = {
    "a counter of ids": (
        "CREATE TABLE posts (id INTEGER PRIMARY KEY AUTOINCREMENT, uri, text, "
        "preprocessing_timestamp)",
        f"INSERT INTO posts VALUES (1, 'u1', 'fine day', '{STAMP}')",
    ),
    "statistics": (
        POSTS,
        f"INSERT INTO posts VALUES ('u1', 'fine day', '{STAMP}')",
        "CREATE INDEX i ON posts (uri)",
        "ANALYZE",
    ),
    "a full-text index of another table": (
        POSTS,
        f"INSERT INTO posts VALUES ('u1', 'fine day', '{STAMP}')",
        "CREATE VIRTUAL TABLE posts_search USING fts5(text, content='posts')",
    ),
    "an index without content": (
        POSTS,
        f"INSERT INTO posts VALUES ('u1', 'fine day', '{STAMP}')",
        "CREATE VIRTUAL TABLE search USING fts4(content='posts', text)",
    ),
    "a full-text table's own tables": (
        "CREATE VIRTUAL TABLE posts USING fts5(uri, text, preprocessing_timestamp)",
        f"INSERT INTO posts VALUES ('u1', 'fine day', '{STAMP}')",
    ),
}


@pytest.mark.parametrize("name", NOT_POSTS)
def test_the_only_table_is_the_only_one_that_a_user_made(tmp_path: Path, name: str) -> None:
    assert texts(make(tmp_path / "posts.db", *NOT_POSTS[name])) == READ


def test_two_tables_of_a_user_need_a_choice(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.db", POSTS, "CREATE VIEW recent AS SELECT * FROM posts", rows=[POST]
    )
    assert "posts, recent" in rejected(path)
    assert texts(path, table="recent") == READ


@pytest.mark.parametrize(
    "table", ["My Posts", "my posts", "MY POSTS", '"my posts"', "main.My Posts", 'main."my posts"']
)
def test_a_table_may_be_named_in_any_case_with_its_schema_and_with_quotes(
    tmp_path: Path, table: str
) -> None:
    path = make(
        tmp_path / "posts.db",
        POSTS,
        'CREATE TABLE "My Posts" AS SELECT * FROM posts',
        f"INSERT INTO \"My Posts\" VALUES ('u1', 'fine day', '{STAMP}')",
    )
    assert texts(path, table=table) == READ


def test_a_name_with_a_dot_is_a_name(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.db",
        POSTS,
        'CREATE TABLE "2024.05" AS SELECT * FROM posts',
        f"INSERT INTO \"2024.05\" VALUES ('u1', 'fine day', '{STAMP}')",
    )
    assert texts(path, table="2024.05") == READ


def test_sqlites_own_tables_can_be_read_by_name(tmp_path: Path) -> None:
    path = make(tmp_path / "posts.db", *NOT_POSTS["a counter of ids"])
    columns = {"uri": "name", "text": "name", "preprocessing_timestamp": "seq"}
    assert uris(path, table="sqlite_sequence", columns=columns, where="false") == []


@pytest.mark.parametrize("name", ["URI", "Uri", "uri"])
def test_a_column_may_be_named_in_any_case(tmp_path: Path, name: str) -> None:
    made = POSTS.replace("uri", "Uri").replace("text TEXT", "TeXT TEXT")
    path = make(tmp_path / "posts.db", made, rows=[POST])
    assert texts(path, columns={"uri": name}) == READ


def test_generated_columns_are_columns(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.db",
        "CREATE TABLE posts (did, rkey, json, preprocessing_timestamp, "
        "uri AS (did || '/' || rkey), text AS (json ->> 'text') STORED)",
        "INSERT INTO posts (did, rkey, json, preprocessing_timestamp) "
        f"""VALUES ('did', 'key', '{{"text": "fine day"}}', '{STAMP}')""",
    )
    assert texts(path) == {"did/key": ("fine day", None)}


@pytest.mark.parametrize("name", ["rowid", "ROWID", "oid", "_rowid_"])
def test_the_rowid_is_a_column(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "posts.db", rows=[POST, POST])
    assert uris(path, columns={"uri": name}) == ["1", "2"]


def test_a_table_without_rowid_and_a_view_have_none(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.db",
        POSTS.replace("uri TEXT", "uri TEXT PRIMARY KEY") + " WITHOUT ROWID",
        "CREATE VIEW v AS SELECT * FROM posts",
        rows=[POST],
    )
    assert texts(path, table="posts") == READ
    for table in ("posts", "v"):
        assert rejected(path, table=table, columns={"uri": "rowid"}).startswith("backlog.columns: ")


def test_reserved_words_and_quotes_in_names_are_read(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.db",
        'CREATE TABLE "group" ("order" TEXT, "it\'s ""text""" TEXT, "select" TEXT)',
        f"INSERT INTO \"group\" VALUES ('u1', 'fine day', '{STAMP}')",
    )
    columns = {"uri": "order", "text": 'it\'s "text"', "preprocessing_timestamp": "select"}
    assert texts(path, columns=columns) == READ


def test_a_view_with_a_column_that_is_computed_is_read(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.db",
        POSTS,
        "CREATE VIEW v AS SELECT uri, upper(text) AS text, preprocessing_timestamp FROM posts",
        rows=[POST],
    )
    assert texts(path, table="v") == {"u1": ("FINE DAY", None)}


def test_a_broken_view_and_an_unknown_module_are_rejected_by_name(tmp_path: Path) -> None:
    path = make(
        tmp_path / "posts.db",
        POSTS,
        "CREATE VIEW v AS SELECT * FROM gone",
        "PRAGMA writable_schema = 1",
        "INSERT INTO sqlite_schema VALUES "
        "('table', 'vectors', 'vectors', 0, 'CREATE VIRTUAL TABLE vectors USING vec0(x)')",
        rows=[POST],
    )
    assert texts(path, table="posts") == READ
    for table in ("v", "vectors"):
        message = rejected(path, table=table)
        assert message.startswith(f"backlog.source: {path}, table {table} ")
