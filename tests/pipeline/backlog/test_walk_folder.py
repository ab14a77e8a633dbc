"""Everything that lies in a source's folder is either read or accounted for."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pipeline.backlog.left_out import WhyLeftOut
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import STAMP, csv_file, find

ROWS = [("u1", "hello", STAMP)]
NOBODY = 65_534


def left_out(source: Source) -> dict[Path, WhyLeftOut]:
    return {each.path: each.why for each in source.left_out}


@contextmanager
def without_privileges() -> Iterator[None]:
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("name", ["b.csv", "b"])
def test_pipes_sockets_and_devices_are_named_and_not_opened(tmp_path: Path, name: str) -> None:
    posts = csv_file(tmp_path / "a.csv", ROWS)
    os.mkfifo(tmp_path / name)
    (tmp_path / "device.csv").symlink_to("/dev/zero")
    with closing(socket.socket(socket.AF_UNIX)) as unix:
        unix.bind(str(tmp_path / "socket"))
        source = find(tmp_path)
    assert source.files == (posts,)
    assert left_out(source) == {
        tmp_path / name: WhyLeftOut.NO_FILE,
        tmp_path / "device.csv": WhyLeftOut.NO_FILE,
        tmp_path / "socket": WhyLeftOut.NO_FILE,
    }


def test_a_pipe_that_is_the_source_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "posts.csv")
    with pytest.raises(InputError):
        find(tmp_path / "posts.csv")


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", ROWS)
    (tmp_path / "latest").symlink_to(tmp_path / "gone")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert left_out(find(tmp_path)) == {
        tmp_path / "latest": WhyLeftOut.BROKEN_LINK,
        tmp_path / "itself": WhyLeftOut.BROKEN_LINK,
    }


def test_a_link_to_posts_that_are_gone_is_an_error(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", ROWS)
    (tmp_path / "b.csv").symlink_to(tmp_path / "purged.csv")
    with pytest.raises(InputError, match=str(tmp_path / "b.csv")):
        find(tmp_path)
    assert find(tmp_path, ignore=("b.*",)).files == (tmp_path / "a.csv",)


@pytest.mark.parametrize("closed", ["days", "days/b.csv", "days/notes"])
def test_what_may_not_be_read_is_an_error_unless_it_is_ignored(closed: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        posts = csv_file(folder / "a.csv", ROWS)
        csv_file(folder / "days" / "b.csv", ROWS)
        (folder / "days" / "notes").write_text("nobody knows what this is\n")
        mode = (folder / closed).stat().st_mode
        (folder / closed).chmod(0)
        try:
            with without_privileges():
                with pytest.raises(InputError, match=str(folder / closed)):
                    find(folder)
                with pytest.raises(InputError, match=str(folder / closed)):
                    find(folder / "**" / "*")
                assert posts in find(folder, ignore=(closed,)).files
        finally:
            (folder / closed).chmod(mode)


def test_hidden_files_with_data_are_named_and_other_hidden_files_are_not(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / "a.csv", ROWS)
    hidden = [".b.csv", "_c", ".ipynb_checkpoints/a-checkpoint.csv", "_temporary/0/part"]
    for name in hidden:
        csv_file(tmp_path / name, ROWS)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".a.csv.crc").write_bytes(b"crc\0\0\0\x02\0\x1f")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "notes.md").write_text("notes\n")
    source = find(tmp_path)
    assert source.files == (posts,)
    assert left_out(source) == dict.fromkeys(
        (tmp_path / name for name in hidden), WhyLeftOut.HIDDEN
    )


def test_a_glob_reads_hidden_files_if_it_asks_for_them(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / "_old" / "a.csv", ROWS)
    assert find(tmp_path / "_*" / "*.csv").files == (posts,)
    with pytest.raises(InputError):
        find(tmp_path / "*" / "*.csv")


def test_a_folder_that_a_glob_matches_is_named_and_not_read(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / "a.csv", ROWS)
    deep = csv_file(tmp_path / "deep" / "b.csv", ROWS)
    source = find(tmp_path / "*")
    assert source.files == (posts,)
    assert left_out(source) == {tmp_path / "deep": WhyLeftOut.FOLDER}
    assert find(tmp_path / "**").files == (posts, deep)
    assert left_out(find(tmp_path / "**" / "*")) == {}


def test_two_names_of_one_file_count_once(tmp_path: Path) -> None:
    first = csv_file(tmp_path / "a.csv", ROWS)
    (tmp_path / "b.csv").hardlink_to(first)
    assert find(tmp_path).files == (first,)


def test_a_glob_does_not_stumble_over_what_it_does_not_select(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / "a.csv", ROWS)
    (tmp_path / "b.parquet").symlink_to(tmp_path / "purged.parquet")
    (tmp_path / "latest").symlink_to(tmp_path / "gone")
    source = find(tmp_path / "*.csv")
    assert (source.files, source.left_out) == ((posts,), ())


def test_folders_may_be_very_deep(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(600):
        folder = folder / "d"
        folder.mkdir()
    posts = csv_file(folder / "a.csv", ROWS)
    assert find(tmp_path).files == (posts,)
