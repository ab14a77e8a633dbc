"""Files are read up to a limit, whatever size the system gives for them."""

from pathlib import Path

import pytest

from pipeline import limits


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_file_of_the_limit_is_read_and_a_larger_one_is_not(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert limits.read_file(path, size) == path.read_bytes()
    with path.open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(limits.TooLarge):
        limits.read_file(path, size)


def test_a_file_that_has_more_than_its_size_is_read_to_its_end() -> None:
    path = Path("/proc/version")  # of a file in /proc, the size is 0
    content = path.read_bytes()
    assert content
    assert limits.read_file(path, 1 << 20) == content
    with pytest.raises(limits.TooLarge):
        limits.read_file(path, len(content) - 1)
