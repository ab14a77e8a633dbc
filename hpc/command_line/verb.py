"""Run a verb: print its messages, and turn its errors into messages and exit codes."""

import argparse
import json
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import duckdb

from hpc.api.call.choose_run import find_run
from hpc.api.call.place import Place
from hpc.display.console import Printer
from hpc.display.system_error import describe_error
from hpc.executors.waits import waits_shown_by
from hpc.run.exit_codes import FAILED, INTERRUPTED, WRONG
from hpc.run.model.run import Run
from hpc.runs.left_out import report_left_out as report_left_out
from pipeline.errors import InputError, Interruption, RunError
from pipeline.messages import option
from pipeline.system import ownership

Outcome = tuple[int, dict[str, Any] | list[dict[str, str]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """One command of the program."""

    name: str
    example: str
    """A command line that a user can adapt."""
    arguments: Callable[[argparse.ArgumentParser], None]
    """Adds the verb's arguments to its parser."""
    act: Callable[[argparse.Namespace, Printer], Outcome]
    """Does the work. Returns the exit code, and the document that --json prints."""
    if_interrupted: str
    """What Ctrl-C leaves behind where the work itself does not say it, and how to continue."""
    classifies: bool = False
    """Whether it runs a classifier in this process, which may use pandas."""

    def run(self, options: argparse.Namespace) -> int:
        """Do the work, print what it says, and return the exit code."""
        printer = Printer(sys.stderr if options.json else sys.stdout)
        try:
            with (
                ownership.private_files(),
                option.for_shell(),
                waits_shown_by(printer.awaiting),
            ):
                code, document = _interruptible(lambda: self.act(options, printer))
            if options.json:
                # In ASCII, any terminal shows it, and no character in it can control one.
                print(json.dumps(document))
            sys.stdout.flush()
        except BrokenPipeError:  # the reader, such as `| head`, has seen enough
            return FAILED
        except Interruption as interruption:
            return _end(options, str(interruption), INTERRUPTED)
        except KeyboardInterrupt:
            return _end(options, f"interrupted; {self.if_interrupted}", INTERRUPTED)
        except InputError as error:
            return _complain(options, str(error), WRONG)
        except RunError as error:
            return _complain(options, str(error), FAILED)
        except (OSError, MemoryError, duckdb.Error) as error:
            return _complain(options, describe_error(error), FAILED)
        return code


def chosen_run(options: argparse.Namespace) -> Run:
    """Return the run that the arguments name. Raises InputError where there is no such run."""
    return find_run(options.run, at=chosen_place(options))


def chosen_place(options: argparse.Namespace) -> Place:
    """Return where runs and labels are, as the arguments say."""
    return Place(
        config=options.config,
        run_root=options.run_root,
        database=getattr(options, "database", None),  # some verbs need no database
    )


def _complain(options: argparse.Namespace, message: str, code: int) -> int:
    return _end(options, f"error: {message}", code)


def _end(options: argparse.Namespace, message: str, code: int) -> int:
    if options.debug:
        traceback.print_exc()
    Printer(sys.stderr)(message)
    return code


def _interruptible(act: Callable[[], Outcome]) -> Outcome:
    """Raise KeyboardInterrupt on Ctrl-C, SIGTERM and SIGHUP, also in the middle of a query.

    SIGHUP comes when a terminal is closed. Without an end of its own, a verb would leave temporary
    files behind.

    DuckDB 2.0 turns what a signal handler raises into a RuntimeError of its own.
    """
    interrupted = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        interrupted.set()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        return act()
    except Exception as error:
        if interrupted.is_set():
            raise KeyboardInterrupt from error
        raise
