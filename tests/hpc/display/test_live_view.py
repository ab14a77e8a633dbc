"""A run that is watched is shown in place on a terminal, and in lines with the time elsewhere."""

import io
import itertools
import os
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from hpc.display.blocks import Line, Table, Tone
from hpc.display.console import Printer
from hpc.display.live import screen
from hpc.display.live.plain_lines import SIGN_OF_LIFE_S, PlainLines
from hpc.display.live.screen import describe_sight
from hpc.display.next_step import command
from hpc.display.run.progress_line import describe_progress
from hpc.display.terminal import live_view
from hpc.display.terminal.area import Area
from hpc.display.terminal.bars import BarStep
from hpc.display.terminal.live_view import LiveView
from hpc.display.terminal.render import create_console
from hpc.reconcile.look import supervised_sight
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.run import Run
from hpc.run.model.shards import State
from hpc.run.run_view import Sight
from tests.hpc.display.tiny_terminal import TinyTerminal
from tests.hpc.display.watched_runs import (
    NOW,
    heartbeat,
    make_run,
    resting,
    running,
    status_of,
)
from tests.waiting import wait_until

LEAVING = "Ctrl-C quits; tasks keep running."


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path, 220)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> TinyTerminal:
    """A terminal of 80 columns and 24 lines that knows colors and Unicode."""
    for name, value in {"TERM": "xterm-256color", "LANG": "C.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    terminal = TinyTerminal()

    def size() -> os.terminal_size:
        return os.terminal_size((terminal.columns, terminal.lines))

    monkeypatch.setattr("shutil.get_terminal_size", size)
    return terminal


class Clock:
    """A clock that stands still between two calls of `pass_by`."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def two_hundred_tasks(run: Run) -> Sight:
    shards = [resting(index, State.DONE) for index in range(10)]
    shards += [running(index, heartbeat(index, rate=index)) for index in range(10, 207)]
    shards.append(running(207, heartbeat(5, age_s=190)))
    shards.append(running(208, heartbeat(9, last_error="HTTP 503: try later " + "x" * 300)))
    shards.append(running(209, heartbeat(9), stalled=True))
    shards += [resting(index, State.QUEUED) for index in range(210, 220)]
    return Sight(status=status_of(run, shards))


def test_a_screen_shows_the_most_urgent_tasks_and_counts_the_others(
    run: Run, terminal: TinyTerminal
) -> None:
    with Printer(terminal, now=Clock()).watching(LEAVING) as view:
        view("gathered 10 shards")
        view.show(structs.replace(two_hundred_tasks(run), next_step="next: hpc supervise runs/x"))
        view.expect_look(18)
        wait_until(lambda: "Seen" in terminal.shown[-1])
        shown = terminal.shown
    first = shown.index("  SHARD  NODE          POSTS  POSTS/MIN    AGE  MEMORY NOW") + 1
    assert shown[0] == "gathered 10 shards"
    assert shown[1] == f"run {run.run_id}: running"
    assert shown[3] == "  █ 10 done  ▒ 200 running  ░ 10 queued"
    assert "next: hpc supervise runs/x" in shown[:first]
    assert shown[first : first + 4] == [
        "    209  qnode209   9 of 250         60    5 s      96 MiB  stalled",
        "    207  qnode207   5 of 250         60  3 min      96 MiB  silent",
        "    208  qnode208   9 of 250         60    5 s      96 MiB  HTTP 503: try later…",
        "     10  qnode10   10 of 250         10    5 s      96 MiB",
    ]
    last = next(number for number, line in enumerate(shown) if line.endswith("more running tasks"))
    assert shown[last] == f"  and {200 - (last - first)} more running tasks"
    assert shown[last + 1 : last + 3] == ["", "  shard 208, running: HTTP 503: try later"]
    assert shown[-1] == f"Seen at 12:00:00, 0 s ago, again in 18 s. {LEAVING}"
    assert len(shown) < terminal.lines
    assert terminal.shown == ["gathered 10 shards"]


def test_a_run_that_is_complete_has_no_task_that_ctrl_c_could_reach(run: Run) -> None:
    def foot(state: State) -> str:
        seen = describe_sight(Sight(status=status_of(run, [resting(0, state)])), NOW)
        clock = screen.Clock(now=NOW, seen_at=NOW, next_look_s=18)
        return screen.screen(seen, clock, LEAVING).foot.text

    assert foot(State.QUEUED) == f"Seen at 12:00:00, 0 s ago, again in 18 s. {LEAVING}"
    assert foot(State.DONE) == "Seen at 12:00:00, 0 s ago."


def test_a_first_look_that_takes_long_says_so(
    terminal: TinyTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_view, "DELAY_S", 0.0)
    with Printer(terminal, now=Clock()).watching(LEAVING):
        wait_until(lambda: terminal.shown, "the first drawing")
        (line,) = terminal.shown
    assert re.fullmatch(
        rf"Looking at the run for the first time, \d s\. {re.escape(LEAVING)}", line
    )


def test_a_blank_line_sets_the_tasks_apart_where_there_is_room(
    run: Run, terminal: TinyTerminal
) -> None:
    with Printer(terminal, now=Clock()).watching(LEAVING) as view:
        view.show(Sight(status=status_of(run, [running(0, heartbeat(age_s=15))])))
        wait_until(lambda: terminal.shown and "Seen" in terminal.shown[-1])
        shown = terminal.shown
    (header,) = (number for number, line in enumerate(shown) if line.startswith("  SHARD"))
    assert shown[header - 1] == ""


def test_between_two_looks_only_the_clock_and_the_ages_move(
    run: Run, terminal: TinyTerminal
) -> None:
    clock = Clock()
    with Printer(terminal, now=clock).watching(LEAVING) as view:
        view.show(Sight(status=status_of(run, [running(0, heartbeat(age_s=15))])))
        wait_until(lambda: terminal.shown and "Seen" in terminal.shown[-1])
        before = terminal.shown
        clock.pass_by(12)
        wait_until(lambda: "12 s ago" in terminal.shown[-1])
        after, last_write = terminal.shown, terminal.raw[-1]
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert "27 s" in changed[0]  # the age of the heartbeat
    assert changed[1:] == [f"Seen at 12:00:00, 12 s ago, looking now. {LEAVING}"]
    assert last_write.count("\x1b[2K") == len(changed)


def test_a_drawing_opens_no_file_and_starts_no_program(
    run: Run, terminal: TinyTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the number of polls is that of the looks, however often the screen is drawn."""
    calls: list[str] = []
    area = Area(terminal, create_console())
    view = LiveView(area, Printer(terminal), LEAVING, now=Clock())
    view.show(two_hundred_tasks(run))
    console = create_console()
    for name in (
        "builtins.open",
        "io.open",
        "os.open",
        "os.scandir",
        "os.stat",
        "subprocess.Popen",
    ):
        monkeypatch.setattr(name, lambda *args, name=name, **more: calls.append(name))
    drawn = [view.draw(console, 23) for _ in range(20)]
    monkeypatch.undo()
    assert calls == []
    assert all("Seen" in lines[-1] for lines in drawn)


def test_messages_stay_above_the_screen_and_break_between_words(
    run: Run, terminal: TinyTerminal
) -> None:
    message = "submitted " + "many words " * 12 + f"next: hpc supervise {'runs/' + 'x' * 90}"
    with Printer(terminal, now=Clock()).watching(LEAVING) as view:
        view.show(Sight(status=status_of(run, [running(0, heartbeat())])))
        wait_until(lambda: terminal.shown and "Seen" in terminal.shown[-1])
        for number in range(30):
            view(f"message {number}")
        view(message)
        shown = terminal.shown
    assert terminal.above[:9] == [f"message {number}" for number in range(9)]
    assert sum(line.startswith("Seen") for line in shown) == 1
    assert not any(line.startswith("Seen") for line in terminal.above)
    start = shown.index("submitted" + " many words" * 6 + " many")
    assert shown[start + 1] == "words" + " many words" * 5
    # A command stays in one piece, so that it can be copied.
    assert shown[start + 2 : start + 4] == ["next: hpc supervise runs/" + "x" * 55, "x" * 35]


def test_a_terminal_that_becomes_narrower_shows_the_screen_once(
    run: Run, terminal: TinyTerminal
) -> None:
    with Printer(terminal, now=Clock()).watching(LEAVING) as view:
        view.show(two_hundred_tasks(run))
        wait_until(lambda: terminal.shown and "Seen" in terminal.shown[-1])
        for columns, lines in ((50, 20), (48, 12), (100, 30), (80, 24)):
            terminal.resize(columns, lines)
            view.show(two_hundred_tasks(run))
            wait_until(lambda: terminal.shown[0].startswith("run 2024"))
            assert sum("run 2024" in line for line in terminal.shown) == 1
            assert max(map(len, terminal.shown)) <= columns


@pytest.mark.parametrize("ending", [KeyboardInterrupt, RuntimeError])
def test_the_last_screen_stays_if_something_ends_the_watch(
    run: Run, terminal: TinyTerminal, ending: type[BaseException]
) -> None:
    printer = Printer(terminal, now=Clock())
    with pytest.raises(ending), printer.watching(LEAVING) as view:
        view.show(Sight(status=status_of(run, [running(0, heartbeat())])))
        raise ending
    assert terminal.shown[0] == f"run {run.run_id}: running"
    assert terminal.shown[-1] == "Seen at 12:00:00, 0 s ago."
    printer("interrupted")
    assert terminal.shown[-1] == "interrupted"
    assert not any("?25l" in text for text in terminal.raw)  # the cursor was never hidden


def test_a_terminal_that_is_gone_ends_nothing(run: Run, terminal: TinyTerminal) -> None:
    with Printer(terminal, now=Clock()).watching(LEAVING) as view:
        view.show(Sight(status=status_of(run, [running(0, heartbeat())])))
        wait_until(lambda: terminal.shown and "Seen" in terminal.shown[-1])
        terminal.is_gone = True
        view.show(two_hundred_tasks(run))
        view("a message that nobody reads")


def test_without_unicode_and_colors_the_screen_is_ascii(
    run: Run, terminal: TinyTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("NO_COLOR", "1")
    shards = [
        *(resting(index, State.DONE) for index in range(5)),
        running(5, heartbeat(last_error="HTTP 503: é 你好 …")),
        resting(6, State.FAILED),
        resting(7, State.PLANNED),
    ]
    with Printer(terminal, now=Clock()).watching(LEAVING) as view:
        view.show(Sight(status=status_of(run, shards)))
        wait_until(lambda: terminal.shown and "Seen" in terminal.shown[-1])
        shown = terminal.shown
    assert all(line.isascii() for line in shown)
    assert set(shown[1].strip()) == {"#", "-", "x", "."}
    assert shown[2] == "  # 5 done  - 1 running  x 1 failed  . 1 planned"
    assert not any(re.search(r"\x1b\[(?:\d;)*3\d", text) for text in terminal.raw)


def test_what_a_narrow_row_cuts_off_stands_in_full_below_the_table(
    run: Run, terminal: TinyTerminal
) -> None:
    reason = "no connection to http://127.0.0.1:9/v1: connection refused; waiting for an answer"
    shards = [running(index, heartbeat(last_error=reason)) for index in range(2)]
    with Printer(terminal, now=Clock()).watching(LEAVING) as view:
        view.show(Sight(status=status_of(run, shards)))
        wait_until(lambda: terminal.shown and "Seen" in terminal.shown[-1])
        shown = terminal.shown
    rows = [line for line in shown if "qnode" in line]
    assert len(rows) == 2
    assert all(line.endswith("…") for line in rows)
    below = shown[shown.index(rows[-1]) + 1 : -1]
    words = " ".join(" ".join(below).split())
    assert words == f"shard 0, running: {reason} (and 1 more shard)"


def test_what_has_no_single_character_in_ascii_is_spelled_out(
    terminal: TinyTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("NO_COLOR", "1")
    printer = Printer(terminal)
    printer("4 → 8, é")
    printer.show(Line("581 for ±0.05 …"), Table(rows=(("a → b", "c"), ("a", "c"))))
    assert terminal.shown == ["4 -> 8, é", "581 for +/-0.05 ...", "  a -> b  c", "  a       c"]


@pytest.mark.parametrize("kind", ["dumb", "no terminal"])
def test_elsewhere_each_line_has_the_time(
    run: Run, terminal: TinyTerminal, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream: io.StringIO = terminal if kind == "dumb" else io.StringIO()
    clock = Clock()
    with Printer(stream, now=clock).watching(LEAVING) as view:
        view("gathered\n10 shards")
        clock.pass_by(30)
        for _ in range(3):
            view.show(Sight(status=status_of(run, [running(0, heartbeat())])))
        clock.pass_by(12 * 3600)
        view("a new day")
    written = "".join(terminal.raw) if kind == "dumb" else stream.getvalue()
    assert written == (
        "2026-11-24 12:00:00 gathered\n"
        "12:00:00 10 shards\n"
        "12:00:30 0 of 1 shard done, 100 of 55,000 posts; 1 running\n"
        "2026-11-25 00:00:30 a new day\n"
    )


def test_a_supervisor_names_the_command_that_retries_blocked_shards(run: Run) -> None:
    shards = [running(0, heartbeat()), resting(1, State.BLOCKED), resting(2, State.BLOCKED)]
    sight = supervised_sight(status_of(run, shards))
    retry = (
        "2 shards are blocked and need you. To retry them after fixing the cause, stop this "
        f"command and type: {command('resubmit', run, '--force', '--indices', '1-2')}"
    )
    assert describe_progress(sight)[1:] == [retry]
    assert Line(retry) in describe_sight(sight, NOW).head


def test_shards_that_wait_for_room_are_shown_with_what_they_wait_for(run: Run) -> None:
    plan = ArrayPlan(offset=0, indices=tuple(range(5)), throttle=2, parallel_tasks=2)
    sent = Submission(number=1, job_name="n1", plan=plan, intended_at=NOW, released_at=NOW)
    status = status_of(run, [running(index, heartbeat()) for index in range(5)])
    observation = structs.replace(status.observation, submissions=(sent,))
    sight = Sight(status=replace(status, observation=observation), later=1)
    wait = "1 more shard waits until at least 4 tasks have ended (cluster.max_parallel is 2)"
    assert describe_progress(sight)[0].endswith(f"; {wait}")
    assert Line(wait, Tone.PENDING) in describe_sight(sight, NOW).head


def test_a_log_shows_now_and_then_that_the_watch_goes_on(run: Run) -> None:
    said: list[str] = []
    times = itertools.count(0.0, SIGN_OF_LIFE_S / 4)
    lines = PlainLines(said.append, clock=lambda: next(times), sleep=lambda seconds: None)
    for _ in range(12):
        lines.show(Sight(status=status_of(run, [running(0, heartbeat())])))
    assert 3 <= len(said) <= 4
    assert len(set(said)) == 1


def test_a_bar_appears_after_a_second_and_is_removed(
    terminal: TinyTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    printer = Printer(terminal)
    monkeypatch.setattr("hpc.display.terminal.bars.DELAY_S", 0.0)
    with printer.step("writing shards", total=40, unit="shard") as step:
        step.advance(10)
        wait_until(lambda: "writing shards: 10 of 40 shards" in (terminal.shown or [""])[0])
        assert terminal.shown[1].count("█") == 19  # a quarter of 76 cells
        printer("a message")
        assert terminal.shown[0] == "a message"
        with printer.step("gathering", measure=lambda: 0.5):
            wait_until(lambda: any("gathering: 50 %" in line for line in terminal.shown))
        step.advance(40)
        wait_until(lambda: any("40 of 40" in line for line in terminal.shown))
    assert terminal.shown == ["a message"]


def test_a_share_that_falls_is_shown_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was the share of a query, and another one follows."""
    monkeypatch.setattr("hpc.display.terminal.bars.DELAY_S", 0.0)
    shares = iter([0.4, 0.9, 0.1, 0.95])
    step = BarStep(what="reading", total=None, unit="", measure=lambda: next(shares, None))
    console = create_console()
    heads = [step.draw(console, 9)[0].rsplit(",", 1)[0] for _ in range(4)]
    assert heads == ["reading: 40 %", "reading: 90 %", "reading", "reading"]


def test_a_step_that_is_over_within_a_second_shows_nothing(terminal: TinyTerminal) -> None:
    with Printer(terminal).step("writing shards", total=2, unit="shard") as step:
        step.advance(2)
    assert terminal.shown == []
    assert BarStep(what="x", total=None, unit="", measure=None).draw(create_console(), 9) == []


def test_a_bar_is_removed_if_something_fails(
    terminal: TinyTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc.display.terminal.bars.DELAY_S", 0.0)
    with pytest.raises(OSError), Printer(terminal).step("reading the posts"):
        wait_until(lambda: any("reading the posts" in line for line in terminal.shown))
        raise OSError
    assert terminal.shown == []


def test_elsewhere_nothing_is_measured() -> None:
    def measure() -> float:
        raise AssertionError("nobody watches")

    stream = io.StringIO()
    with Printer(stream).step("reading the posts", measure=measure) as step:
        step.advance(1)
    assert stream.getvalue() == ""
