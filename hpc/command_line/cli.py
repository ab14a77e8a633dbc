"""Parse the command line: the verbs, the arguments that several verbs share, completion.

`hpc --help` and completion in a shell start this module often, so it imports nothing heavy: a
verb's own module, and with it DuckDB and PyArrow, is loaded only when that verb is asked for
(`hpc --help`: 60 ms instead of 330 ms).
"""

import argparse
import atexit
import gc
import importlib
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pipeline
from hpc.command_line import help_text, quiet_interruption
from hpc.command_line.missing_config import describe_lack, lacks_config
from hpc.run.exit_codes import FAILED, WRONG
from pipeline import terminal
from pipeline.arrow.skip_pandas import skip_pandas
from pipeline.text import did_you_mean

if TYPE_CHECKING:
    from hpc.command_line.verb import Verb

# In the order in which a newcomer needs them, as in the README and the reference.
VERBS = {
    "init": "start a project: inspect your posts and your cluster, ask, write a configuration",
    "check": "check everything that can be known before anything is spent",
    "try": "show the answers of one or several configurations to a few posts; save nothing",
    "submit": "submit posts that have no label yet as a new run",
    "status": "show the state of every shard, posts done and time left; --watch follows a run live",
    "ls": "list the runs: name, state, posts done, age and size",
    "supervise": "gather and resubmit until the run is complete or needs your attention",
    "resubmit": "resubmit failed shards at the same array indices",
    "gather": "copy finished labels into the database (safe to repeat)",
    "adopt": "take the labels that another engine gave to a run of submit --plan-only",
    "cancel": "cancel a run's pending and running jobs; finished work is kept",
    "logs": "show how a shard's tasks ended, attempt by attempt, and the end of their logs",
    "audit": "show where every post of a backlog is; with --post, why one has no label",
    "export": "write labels to a Parquet, CSV or JSON Lines file for R, pandas and polars",
    "report": "write one HTML page about labels: methods, charts, tasks and cost",
    "sample": "draw a random sample of labeled posts for people to code",
    "gold": "import what people coded, as labels under a name of their own",
    "compare": "show how well two classifiers agree, or how well they match human labels",
    "clean": "put each run that is complete and gathered into one archive file",
    "schema": "print every key of a configuration, for editors and for people",
}
# These run no classifier and no statistics, whose code may pass NumPy's arrays to PyArrow.
WITHOUT_NUMPY = frozenset({"audit", "cancel", "clean", "gather", "logs", "ls", "status"})
SHELLS = ("bash", "zsh", "tcsh")

_HIGHEST_SEED = 2**53  # JSON's numbers are exact up to it in R and JavaScript
_VALUES_PER_COLLECTION = 1_000_000
_EXIT_CODES = """exit codes:
  0    done
  1    something failed or needs your attention
  2    usage, configuration or input is wrong
  3    the run is still under way
  130  interrupted"""
_FIRST_STEP = "first: hpc init, in the folder of your posts"


def run_from_shell() -> NoReturn:
    """Run `hpc VERB …` or `python -m hpc VERB …`, and exit."""
    quiet_interruption.before_a_verb()
    _collect_rarely()
    arguments = _with_help_option(sys.argv[1:])
    name = arguments[0] if arguments else "--help"
    if name in VERBS:
        if name in WITHOUT_NUMPY:
            importlib.import_module("pipeline.arrow.skip_numpy").import_without_numpy()
        main(importlib.import_module(f"hpc.{name}").VERB, arguments[1:])
    _exit_with(lambda: _run_without_verb(name, arguments))


def _with_help_option(arguments: Sequence[str]) -> list[str]:
    """Return `VERB --help` for `help VERB`, which many programs understand."""
    if arguments[:1] != ["help"]:
        return list(arguments)
    return [*arguments[1:2], "--help"]


def _run_without_verb(name: str, arguments: Sequence[str]) -> int:
    if not name.startswith("-"):
        return _report_unknown_verb(name)
    options = build_parser().parse_args(arguments or ["--help"])
    if options.print_completion:
        # shtab is needed for this option only, and takes 20 ms to import.
        completion = importlib.import_module("hpc.command_line.completion")
        verbs = [importlib.import_module(f"hpc.{verb}").VERB for verb in VERBS]
        settings = importlib.import_module("hpc.config.settable_keys").of_installed()
        print(completion.write_script(build_parser(verbs), options.print_completion, settings))
    return 0


def _collect_rarely() -> None:
    """Keep the garbage collector from scanning what lasts as long as the process.

    The imports of a verb create a hundred thousand lasting objects, and a look at 10,000 shards
    half a million. By default the collector scans them again and again, which takes a tenth of the
    imports and a quarter of the look. At every 100,000 objects, it would still take a twenty-fifth
    of both, and finds next to nothing. As the process exits it scans all of them once more.
    """
    gc.set_threshold(_VALUES_PER_COLLECTION, 20, 20)
    atexit.register(gc.freeze)


def main(verb: "Verb", arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a verb, and exit.

    Args:
        verb: the verb.
        arguments: what follows the verb; by default, the process's own arguments.
    """
    _collect_rarely()
    if not verb.classifies:
        skip_pandas()
    words = sys.argv[1:] if arguments is None else arguments
    _exit_with(lambda: verb.run(_parse(verb, words)))


def _parse(verb: "Verb", words: Sequence[str]) -> argparse.Namespace:
    """Return a verb's options. What it does not know is reported with its own usage."""
    # The other verbs' parsers would take 15 ms, and nothing shows them.
    parser, of_verb = _build_parsers([verb], (verb.name,))
    if lacks_config(of_verb[verb.name].format_usage(), words):
        problem = describe_lack(verb.name, words, Path.cwd())
        help_text.complain(f"hpc {verb.name}: error: {problem}")
        sys.exit(WRONG)
    options, unknown = parser.parse_known_args([verb.name, *words])
    if unknown:
        _reject(unknown, of_verb[verb.name])
    return options


def _reject(unknown: Sequence[str], parser: argparse.ArgumentParser) -> NoReturn:
    known = re.findall(r"--[a-z-]+", parser.format_usage())
    flag = next((word.partition("=")[0] for word in unknown if word.startswith("--")), "")
    suggestion = did_you_mean(flag, known) if flag else ""
    parser.error(f"unrecognized arguments: {' '.join(unknown)}{suggestion}")


def _exit_with(act: Callable[[], int]) -> NoReturn:
    """Exit with the code that `act` returns, after all that it printed has arrived."""
    terminal.use_clean_streams()
    code: object
    try:
        code = act()
    except SystemExit as end:  # of argparse
        code = end.code
    except BrokenPipeError:  # the reader of stderr has seen enough
        code = FAILED
    except OSError as error:  # the help or the completion could not be written
        help_text.complain(f"error: what was printed could not be written: {error.strerror}")
        code = FAILED
    failure = terminal.flush_streams()
    quiet_interruption.after_a_verb()
    if failure and not isinstance(failure, BrokenPipeError):
        help_text.complain(f"error: what was printed could not be written: {failure.strerror}")
    sys.exit(code if not failure else code or FAILED)


def build_parser(verbs: Sequence["Verb"] = ()) -> argparse.ArgumentParser:
    """Return a parser that lists all verbs, and knows the arguments of those that are given."""
    return _build_parsers(verbs, tuple(VERBS))[0]


def _build_parsers(
    verbs: Sequence["Verb"], names: Sequence[str]
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of the program, and those of its verbs by name.

    Args:
        verbs: those whose arguments the parser knows.
        names: those that it lists.
    """
    parser = help_text.Parser(
        prog="hpc",
        description="Classify a backlog of posts on a Slurm cluster or on this machine.",
        epilog=f"{_EXIT_CODES}\n\n{_FIRST_STEP}",
        formatter_class=help_text.HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hpc {pipeline.__version__}")
    parser.add_argument(
        "--print-completion", choices=SHELLS, metavar="SHELL",
        help=f"print a script that completes commands in this shell ({', '.join(SHELLS)})",
    )  # fmt: skip
    by_name = {verb.name: verb for verb in verbs}
    parsers = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB")
    for name in names:
        verb, summary = by_name.get(name), VERBS[name]
        subparser = parsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example:\n  {verb.example}\n\n{_EXIT_CODES}" if verb else None,
            formatter_class=help_text.HelpFormatter,
        )
        if verb:
            verb.arguments(subparser)
            subparser.add_argument(
                "--json", action="store_true", help="print one JSON document on stdout"
            )
            subparser.add_argument(
                "--debug", action="store_true", help="show the traceback of an error"
            )
    return parser, dict(parsers.choices)


def _report_unknown_verb(name: str) -> int:
    suggestion = did_you_mean(name, tuple(VERBS))
    help_text.complain(f"error: unknown verb {name!r}{suggestion}; hpc --help lists the verbs")
    return WRONG


def at_least(least: int) -> Callable[[str], int]:
    """Return an argument's type: a whole number of `least` or more."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"should be a whole number, {least} or more, not {text!r}"
            )
        return int(text)

    return number


def seed(text: str) -> int:
    """Read an argument that is the seed of a draw: a whole number that every program can hold."""
    if not text.isdecimal() or int(text) > _HIGHEST_SEED:
        raise argparse.ArgumentTypeError(
            f"should be a whole number from 0 to {_HIGHEST_SEED:,}, not {text!r}"
        )
    return int(text)


def not_empty(text: str) -> str:
    """Check an argument: `--only-labeled-by "$NAME"` with NAME unset must not mean all posts."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty")
    return text


def finite_number(text: str) -> float:
    """Read an argument that is a finite number."""
    number = _float_or_nan(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"should be a number, not {text!r}")
    return number


def above_zero(text: str) -> float:
    """Read an argument that is a number above 0."""
    number = _float_or_nan(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"should be a number above 0, not {text!r}")
    return number


def _float_or_nan(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a configuration, for verbs about a backlog."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration (YAML)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=value", help="override one key"
    )


_LOOK_UNDER = "look under this configuration's run root"


def run_arguments(parser: argparse.ArgumentParser, config_help: str = _LOOK_UNDER) -> None:
    """Add the arguments that name a run, for verbs about a run."""
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="a run's id, the beginning of it, a name (its newest run) or a folder (default: the "
        "newest run of a classifier)",
    )
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="use this database instead of the run's"
    )
    root_arguments(parser, config_help)


def root_arguments(parser: argparse.ArgumentParser, config_help: str = _LOOK_UNDER) -> None:
    """Add the arguments that name the folder of all runs."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, metavar="FILE", help=config_help)
    where.add_argument(
        "--run-root", type=Path, metavar="FOLDER", help="look under this folder (default: runs)"
    )
