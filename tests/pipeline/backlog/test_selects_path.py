"""A path is said to be in a source exactly if the source would find a file there."""

from pathlib import Path

import pytest

from pipeline.backlog.selects_path import selects
from pipeline.config.sections import Backlog
from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import STAMP, csv_file, find

ROWS = [("u", "hello", STAMP)]


@pytest.mark.parametrize(
    "source",
    ["posts", "posts/*.csv", "posts/**", "posts/*/*.csv", "posts/.old/*", "posts/a.csv", "*"],
)
@pytest.mark.parametrize(
    "name", ["a.csv", "b.csv", "deep/a.csv", ".old/a.csv", "_b.csv", "deep/.b.csv", "x/y/a.csv"]
)
def test_a_path_is_in_a_source_if_the_source_finds_a_file_there(
    tmp_path: Path, source: str, name: str
) -> None:
    path = tmp_path / "posts" / name
    path.parent.mkdir(parents=True)
    backlog = Backlog(source=source)
    is_expected = selects(backlog, (tmp_path,), path)
    csv_file(path, ROWS)
    try:
        files = find(tmp_path / source).files
    except InputError:
        files = ()
    assert is_expected is (path in files)
    assert selects(backlog, (tmp_path,), path) is (path in files)


def test_an_ignored_path_is_in_no_source(tmp_path: Path) -> None:
    backlog = Backlog(source=str(tmp_path), ignore=("labels*",))
    assert not selects(backlog, (tmp_path,), tmp_path / "labels.csv")
    assert selects(backlog, (tmp_path,), tmp_path / "posts.csv")


def test_a_link_to_the_folder_of_a_source_leads_into_it(tmp_path: Path) -> None:
    (tmp_path / "posts").mkdir()
    (tmp_path / "link").symlink_to("posts")
    assert selects(Backlog(source="posts"), (tmp_path,), tmp_path / "link" / "a.csv")
