"""An option is a flag for somebody at a shell, and an argument in Python."""

import threading
from pathlib import Path

import pytest

from pipeline.messages.option import Option, for_shell

TO = Option(flag="--to", argument="to")
DATABASE = Option(flag="--database", argument="database", holder="Place")
MAPS = Option(flag="--map", argument="maps", is_list=True)
FORCE = Option(flag="--force", argument="replace")

READINGS = [
    (lambda: str(TO), "--to", "to"),
    (lambda: f"{DATABASE}", "--database", "Place.database"),
    (lambda: TO.set_to(Path("a.csv")), "--to a.csv", "to='a.csv'"),
    (lambda: TO.set_to(3), "--to 3", "to=3"),
    (lambda: DATABASE.usage("FILE"), "--database FILE", "Place(database=FILE)"),
    (lambda: MAPS.usage("a=b"), "--map a=b", 'maps=["a=b"]'),
    (lambda: MAPS.set_to("a=b"), "--map a=b", "maps=['a=b']"),
    (lambda: FORCE.on, "--force", "replace=True"),
]


@pytest.mark.parametrize(("read", "at_shell", "in_python"), READINGS)
def test_an_option_reads_as_its_reader_knows_it(read, at_shell: str, in_python: str) -> None:  # type: ignore[no-untyped-def]
    assert read() == in_python
    with for_shell():
        assert read() == at_shell
    assert read() == in_python


def test_an_error_within_the_block_ends_it() -> None:
    with pytest.raises(ZeroDivisionError), for_shell():
        _ = 1 / 0
    assert str(TO) == "to"


def test_a_thread_of_a_notebook_is_not_at_a_shell() -> None:
    read: list[str] = []
    with for_shell():
        thread = threading.Thread(target=lambda: read.append(str(TO)))
        thread.start()
        thread.join()
    assert read == ["to"]
