"""Text from others cannot control the terminal, and only the end of a log is read."""

import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import terminal


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m and \x1b[1;4mbold\x1b[m", "red and bold"),
        ("\x1b]0;a title\x07text\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "textlink"),
        ("\x1b[2J\x1b[Hgone\x1bc", "gone"),
        ("an unfinished \x1b", "an unfinished "),
        ("an unfinished \x1b]52;c;", "an unfinished 52;c;"),
        ("a bell\x07, a \x00zero\x7f, C1 \x9b31m", "a bell, a zero, C1 31m"),
        ("10 %\r50 %\r100 %\r\nnext", "100 %\nnext"),
        ("evil \u202egnp.exe\u2066 x", "evil gnp.exe x"),
        ("half \ud83e of a pair", "half  of a pair"),
        ("a tab\tand 🦋 and שלום\u200e stay", "a tab\tand 🦋 and שלום stay"),
        ("pay\u200bpal\ufeff \u2067x\u061c \U000e0041", "paypal x "),
    ],
)
def test_what_controls_a_terminal_is_removed(written: str, shown: str) -> None:
    assert terminal.printable(written) == shown


hostile_texts = st.text(
    st.characters() | st.sampled_from("\x1b[]\\;m\r\n\x07\x9b\u202e\u2066\u200b\u200f\u2028")
)
# What controls a terminal, and what nobody sees: categories of Unicode. Of the latter, some marks
# of Arabic and other scripts are visible.
CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
VISIBLE = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")


def unsafe(text: str) -> list[str]:
    """Return the characters that no terminal should get."""
    return [
        character
        for character in text
        if character not in "\t\n"
        and (
            unicodedata.category(character) in CONTROLS
            or (unicodedata.category(character) == "Cf" and ord(character) < 0x10000)
        )
        and character not in VISIBLE
    ]


@given(hostile_texts)
def test_no_shown_character_controls_the_terminal(text: str) -> None:
    assert unsafe(terminal.printable(text)) == []
    assert unsafe(terminal.clean(text)) == []
    assert "\n" not in terminal.one_line(text)


@given(hostile_texts)
def test_what_is_clean_stays_as_it_is(text: str) -> None:
    shown = terminal.clean(text)
    assert terminal.clean(shown) == shown


@given(st.lists(hostile_texts))
def test_a_clean_stream_writes_nothing_that_controls_the_terminal(texts: list[str]) -> None:
    """Not even where a sequence is written piece by piece."""
    below = io.StringIO()
    stream = terminal.CleanStream(below)
    print(*texts, sep="", file=stream)
    stream.writelines(texts)
    assert unsafe(below.getvalue()) == []


def test_a_carriage_return_hides_nothing() -> None:
    assert terminal.clean("12 posts failed\rall is well\r\n") == "12 posts failed all is well\n"


@pytest.mark.parametrize("piece", ["\x1b]", "\x1b[", "\x1bP0", "\x1b[0;"])
def test_sequences_without_end_take_linear_time(piece: str) -> None:
    """A pattern that looks for the end of each would take hours."""
    assert "\x1b" not in terminal.clean(piece * (1 << 20))


def test_blank_lines_at_the_end_are_not_shown() -> None:
    assert terminal.last_lines("one\n\ntwo \nthree\n \n\n", 3) == ["", "two", "three"]
    assert terminal.last_lines("one", 3) == ["one"]
    assert terminal.last_lines("\n \x1b[0m\n", 3) == []


def test_a_long_line_is_cut(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("open /" + "x" * 500 + ": denied\n" + "y" * 500)
    cut, whole = terminal.last_lines_of_file(tmp_path / "log", 2) or []
    assert (len(cut), whole) == (500, "y" * 500)
    assert cut.startswith("open /xxx")
    assert cut.endswith("xxx: denied")


def test_one_line_has_the_width_that_is_asked_for() -> None:
    assert terminal.one_line(" a\n b\tc d", longest=6) == "a b… d"
    assert terminal.one_line("a b", longest=3) == "a b"


def test_only_the_end_of_a_huge_file_is_read(tmp_path: Path) -> None:
    """A sparse terabyte: whoever read it from its beginning would still be reading."""
    with (tmp_path / "log").open("wb") as log:
        log.truncate(2**40)
        log.seek(0, 2)
        log.write(b"\nthe last but one\nthe last\n")
    assert terminal.last_lines_of_file(tmp_path / "log", 2) == ["the last but one", "the last"]


def test_a_line_that_is_cut_at_its_start_is_left_out(tmp_path: Path) -> None:
    line = "🦋" * 30
    for more in range(4):
        (tmp_path / "log").write_text("x" * more + "\n" + f"{line}\n" * 2000)
        found = terminal.last_lines_of_file(tmp_path / "log", 5000)
        assert found is not None
        assert set(found) == {line}
        assert len(found) == terminal.TAIL_BYTES // len(f"{line}\n".encode())


def test_a_single_line_is_shown_although_it_is_cut(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"z" * (2 * terminal.TAIL_BYTES))
    assert terminal.last_lines_of_file(tmp_path / "log", 5) == [terminal.without_middle("z" * 501)]


def test_bytes_that_are_not_text_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"core\xff\xfe\x00\x01dumped\n")
    assert terminal.last_lines_of_file(tmp_path / "log", 5) == ["core��dumped"]


def test_a_file_that_is_missing_or_a_folder_has_no_lines(tmp_path: Path) -> None:
    assert terminal.last_lines_of_file(tmp_path / "log", 5) is None
    assert terminal.last_lines_of_file(tmp_path, 5) is None
    (tmp_path / "log").touch()
    assert terminal.last_lines_of_file(tmp_path / "log", 5) == []


def test_a_tail_can_begin_at_a_byte(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("first life\nsecond life\n")
    assert terminal.read_tail(tmp_path / "log", 11) == "second life\n"
