"""What every verb shares: arguments, messages, exit codes.

0 done; 1 something failed or needs a person; 2 usage, configuration or input is wrong; 3 the run
is still under way; 130 interrupted.
"""

import argparse
import errno
import importlib
import json
import math
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import duckdb

from hpc.run import run_config, run_folder
from hpc.run.model import Run
from pipeline.errors import InputError, RunError

VERBS = {
    "submit": "plan, partition and submit the posts that have no label yet",
    "status": "every shard's state and cause, posts done, time to go",
    "resubmit": "submit failed shards again, at the same array indices",
    "gather": "bring published outputs into DuckDB, any number of times",
    "supervise": "gather and submit again until the run is complete or needs a person",
    "cancel": "end a run's jobs, waiting and running; what is paid for is kept",
    "logs": "how a shard's tasks ended, attempt by attempt, and the end of their logs",
    "audit": "where every post of a backlog is; with --post, why one has no label",
    "compare": "how far two classifiers agree on the posts that both labelled",
}
FAILED, WRONG, INTERRUPTED = 1, 2, 130
Outcome = tuple[int, dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """One command: what it takes and does. `act` returns an exit code and what --json prints."""

    name: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    act: Callable[[argparse.Namespace, Callable[[str], None]], Outcome]


def main(verb: Verb, argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a verb and ends the process."""
    parser = argparse.ArgumentParser(
        prog=f"python -m hpc.{verb.name}",
        description=VERBS[verb.name].capitalize() + ".",
        epilog=f"example:\n  {verb.example}\n\n{__doc__.split(chr(10) * 2)[1]}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    given = parser.parse_args(argv)
    sys.exit(_outcome(verb, given))


def _outcome(verb: Verb, given: argparse.Namespace) -> int:
    stream = sys.stderr if given.json else sys.stdout

    def say(line: str) -> None:
        print(line, file=stream, flush=True)

    try:
        code, document = _interruptible(lambda: verb.act(given, say))
        if given.json:
            print(json.dumps(document, ensure_ascii=False))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        sys.stderr.close()
        return FAILED
    except KeyboardInterrupt:
        # The same command would take so many posts more, beside the run that it goes on with.
        again = "python -m hpc.supervise" if getattr(given, "limit", None) else "the same command"
        _complain(given, f"interrupted; nothing is lost: {again} goes on from here")
        return INTERRUPTED
    except InputError as error:
        _complain(given, str(error))
        return WRONG
    except RunError as error:
        _complain(given, str(error))
        return FAILED
    except OSError as error:
        _complain(given, _of_the_system(error))
        return FAILED
    except duckdb.Error as error:
        _complain(given, f"DuckDB: {error}")
        return FAILED
    return code


def _complain(given: argparse.Namespace, message: str) -> None:
    if given.debug:
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr, flush=True)


def _of_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}the disk or your quota is full; nothing is lost: make room, and go on"
    return f"{where}{error.strerror or error}"


def _interruptible(act: Callable[[], Outcome]) -> Outcome:
    """SIGTERM and Ctrl-C are KeyboardInterrupt, also in the middle of a query: DuckDB 2.0 answers a
    signal with a RuntimeError of its own."""
    interrupted = threading.Event()

    def interrupt(number: int, frame: Any) -> NoReturn:
        interrupted.set()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        return act()
    except Exception as error:
        if interrupted.is_set():
            raise KeyboardInterrupt from error
        raise


def at_least(least: int) -> Callable[[str], int]:
    """An argument's type: a whole number."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"should be a whole number, {least} or more, not {text!r}"
            )
        return int(text)

    return number


def not_empty(text: str) -> str:
    """An argument's type: `--only-labelled-by "$NAME"` without a NAME must not mean all posts."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty")
    return text


def above_zero(text: str) -> float:
    """An argument's type."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"should be a number above 0, not {text!r}")
    return number


def config_arguments(parser: argparse.ArgumentParser) -> None:
    """Which configuration: for the verbs that are about a backlog."""
    parser.add_argument("--config", type=Path, required=True, help="the configuration (YAML)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=value", help="overrule one key"
    )


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run: for every verb about one."""
    parser.add_argument("run", nargs="?", help="a run's id or folder; the newest where left out")
    root_arguments(parser)


def root_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, help="look under this configuration's run root")
    where.add_argument("--run-root", type=Path, help="look under this folder (default: runs)")


def chosen_run(given: argparse.Namespace) -> Run:
    """Raises InputError where there is no such run."""
    if given.config:
        root = run_config.load_storage(given.config).run_root
    else:
        root = (given.run_root or Path("runs")).expanduser().absolute()
    return run_folder.find(root, given.run)


def run_from_shell() -> NoReturn:
    """`hpc VERB …` and `python -m hpc VERB …`."""
    name, rest = (sys.argv[1] if sys.argv[1:] else ""), sys.argv[2:]
    if name not in VERBS:
        listed = "\n".join(f"  {verb:<10} {does}" for verb, does in VERBS.items())
        asked = name in ("", "-h", "--help")
        problem = "" if asked else f"error: there is no verb {name!r}\n\n"
        text = (
            f"{problem}usage: python -m hpc.VERB [--help] …, or hpc VERB …\n\n{listed}\n\n"
            "first: python -m hpc.submit --config configs/quickstart.yaml"
        )
        print(text, file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else WRONG)
    main(importlib.import_module(f"hpc.{name}").VERB, rest)
