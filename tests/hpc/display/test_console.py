"""Reports have colors, a bar and a live view on a terminal, and are plain text elsewhere."""

import io
import re

import pytest

from hpc.display import console
from hpc.display.blocks import Bar, Block, Line, Table, Tone
from hpc.display.console import Printer
from hpc.display.terminal import bars
from hpc.display.terminal.render import STYLES, plain_text
from tests.hpc.display.tiny_terminal import TinyTerminal
from tests.waiting import wait_until

REPORT: tuple[Block, ...] = (
    Line("run r: running", Tone.ACTIVE),
    Line(""),
    Table(
        header=("STATE", "CAUSE", "SHARDS"),
        rows=(("done", "", "1,200"), ("failed", "crashed", "3")),
        right_aligned=frozenset({2}),
        tones=(Tone.GOOD, Tone.BAD),
    ),
    Bar(3, 10),
)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 40 columns that knows colors."""
    for name, value in {
        "TERM": "xterm-256color",
        "COLUMNS": "40",
        "LINES": "12",
        "LANG": "en_US.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    for name in (
        "NO_COLOR",
        "FORCE_COLOR",
        "TTY_COMPATIBLE",
        "TTY_INTERACTIVE",
        "LC_ALL",
        "LC_CTYPE",
    ):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_a_report_is_plain_text_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    Printer(stream).show(*REPORT)
    assert stream.getvalue() == (
        "run r: running\n"
        "\n"
        "  STATE   CAUSE    SHARDS\n"
        "  done              1,200\n"
        "  failed  crashed       3\n"
    )


def test_plain_text_is_not_wrapped_and_its_brackets_are_not_markup() -> None:
    line = "[red]:smile:[/red] " + "word " * 100
    table = Table(rows=(("[b]", "[/b]" + "x" * 300),))
    assert plain_text([Line(line), table]) == f"{line.rstrip()}\n  [b]  [/b]{'x' * 300}"


def test_a_terminal_shows_colors_and_a_bar(terminal: Terminal) -> None:
    Printer(terminal).show(*REPORT)
    shown = terminal.getvalue()
    assert "\x1b[36mrun r: running\x1b[0m" in shown
    assert "\x1b[1;31mfailed\x1b[0m" in shown
    assert "━━━" in shown


def test_no_color_is_honored(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    Printer(terminal).show(*REPORT)
    colors = ("[36m", "31m", "32m", "38;5")
    assert [color for color in colors if color in terminal.getvalue()] == []


def test_a_terminal_wraps_lines_between_words(terminal: Terminal) -> None:
    Printer(terminal).show(Line("word " * 20))
    assert {len(line.rstrip()) % 5 for line in terminal.getvalue().splitlines()} == {4}


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (37, ["name  state     size  run", "test  complete  1 kB  20240601T120000"]),
        (36, ["name  state     run", "test  complete  20240601T120000"]),
        (28, ["state     run", "complete  20240601T120000"]),
    ],
)
def test_a_narrow_terminal_leaves_out_spare_columns_and_never_breaks_an_id(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: int, shown: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    table = Table(
        header=("name", "state", "size", "run"),
        rows=(("test", "complete", "1 kB", "20240601T120000"),),
        indent=0,
        spare=(2, 0),
    )
    Printer(terminal).show(table)
    plain = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
    assert [line.rstrip() for line in plain.splitlines()] == shown


def test_every_tone_has_a_style() -> None:
    assert set(STYLES) == set(Tone)


def test_what_takes_long_to_answer_is_one_line_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    with Printer(stream).awaiting("waiting for Slurm to answer"):
        pass
    assert stream.getvalue() == ""
    monkeypatch.setattr(console, "LATE_S", 0.0)
    printer = Printer(stream)
    with printer.awaiting("waiting for Slurm to answer"):
        wait_until(stream.getvalue, "the line")
    with printer.awaiting("waiting for Slurm to answer"), printer.awaiting("waiting for this"):
        wait_until(lambda: "this" in stream.getvalue(), "the line")
    assert stream.getvalue() == (
        "waiting for Slurm to answer, for more than 0 s so far\n"
        "waiting for this, for more than 0 s so far\n"
    )


def test_a_terminal_shows_what_is_waited_for_and_removes_it(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    monkeypatch.setattr(bars, "DELAY_S", 0.0)
    screen = TinyTerminal()
    with Printer(screen).awaiting("waiting for Slurm to answer"):
        wait_until(lambda: screen.shown, "it is drawn")
        assert screen.shown[0].startswith("waiting for Slurm to answer, ")
    assert screen.shown == []


def test_a_line_that_is_broken_keeps_its_indent(terminal: Terminal) -> None:
    Printer(terminal).show(Line("  shard 2: " + "word " * 10), Line(""), Line("end"))
    lines = terminal.getvalue().splitlines()
    assert lines[2:] == ["", "end"]
    assert [line[:3] for line in lines[:2]] == ["  s", "  w"]


def test_a_command_stays_whole_in_a_message_and_in_a_report(terminal: Terminal) -> None:
    """A line break in a command that is copied would run its first half only."""
    command = (
        "hpc resubmit /a/folder/of/runs/20260101T000000-stance-0123abcd --indices 3,7-9 --force"
    )
    line = f"three shards of this run have failed and next: {command}"
    expected = ["three shards of this run have failed and", f"next: {command}"]
    Printer(terminal).show(Line("before"), Line(line, Tone.BAD), Line("after"))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert shown == ["before", *expected, "after"]
    Printer(terminal)(line)
    assert terminal.getvalue().splitlines()[-2:] == expected
