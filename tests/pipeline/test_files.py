import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pytest

from pipeline import archive, files, limits
from tests.pipeline.conftest import fill


def test_a_file_is_not_there_before_the_block_ends_and_whole_after(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with files.appearing_whole(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(files.TEMPORARY_PREFIX)
    assert target.read_text() == "half"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_appears_and_nothing_stays_when_the_block_raises(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error), files.appearing_whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_writes_nothing_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.appearing_whole(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_old_content_is_read_until_the_new_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    with pytest.raises(ValueError, match="no"), files.appearing_whole(target) as temporary:
        temporary.write_text("new, but")
        raise ValueError("no")
    assert target.read_text() == "old"
    files.write_text(target, "new")
    assert target.read_text() == "new"


def test_two_writers_of_one_file_do_not_share_a_temporary(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with files.appearing_whole(target) as one:
        one.write_text("one")
        with files.appearing_whole(target) as two:
            two.write_text("two")
        assert target.read_text() == "two"
    assert target.read_text() == "one"


def test_content_is_on_the_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a renamed file whose content was never synced is empty."""
    synced: list[tuple[str, bool]] = []
    really = os.fsync
    target = tmp_path / "a.txt"

    def noted(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append(("folder" if path == tmp_path else "file", target.exists()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    files.write_text(target, "content")
    assert synced == [("file", False), ("folder", True)]


def test_a_full_disk_leaves_the_old_content_and_no_temporary(small_disk: Path) -> None:
    text, table = small_disk / "a.txt", small_disk / "b.parquet"
    files.write_text(text, "old")
    rows = pa.table({"noise": [hashlib.sha256(str(i).encode()).hexdigest() for i in range(9000)]})
    fill(small_disk, leaving=100_000)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.write_text(text, "x" * 200_000)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.write_parquet(table, rows)
    assert text.read_text() == "old"
    assert {path.name for path in small_disk.iterdir()} == {"a.txt", "filler"}


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"name": "é", "numbers": [1]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n "name": "é",\n "numbers": [\n  1\n ]\n}\n'
    assert json.loads(text) == {"name": "é", "numbers": [1]}


def test_a_hash_is_of_the_whole_file(tmp_path: Path) -> None:
    content = b"x" * 3_000_000 + b"y"
    (tmp_path / "a").write_bytes(content)
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("fsync", lambda path: files.write_text(path, "new")),
        ("fsync", lambda path: files.sync_all([path])),
        ("read", lambda path: limits.read_file(path, 10)),
        ("read", lambda path: archive.digest(path)),
        ("write", lambda path: files.write_text(path, "new")),
    ],
)
def test_an_error_of_a_descriptor_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, act: Callable[[Path], object]
) -> None:
    """The system names no file there, and a person would not know what is broken."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "file"
    path.write_text("old")
    if call == "write":
        monkeypatch.setattr(Path, "write_text", fail)
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output error") as raised:
        act(path)
    assert raised.value.filename == str(path)
