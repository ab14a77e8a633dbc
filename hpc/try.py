# ruff: noqa: N999 - a verb may be a keyword: its module is run, or imported by its name
"""Run `hpc try`: label a few posts with one or several configurations, and save nothing."""

import argparse
import sys
from pathlib import Path

from hpc.api.trying import DEFAULT_POSTS, MOST_POSTS, TrySettings, try_posts
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.display.console import Printer
from hpc.trial.report import to_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc try`."""
    parser.add_argument(
        "configs", nargs="+", type=Path, metavar="CONFIG", help="a configuration (YAML)"
    )
    parser.add_argument(
        "--posts",
        type=cli.at_least(1),
        default=DEFAULT_POSTS,
        metavar="N",
        help=f"how many posts (default: {DEFAULT_POSTS}, at most {MOST_POSTS})",
    )
    parser.add_argument(
        "--seed",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="a number that decides which posts are drawn at random (default: 0)",
    )
    parser.add_argument(
        "--gold",
        type=cli.not_empty,
        metavar="NAME",
        help="try posts that people labeled under NAME, and show the agreement with them",
    )
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="the database of the gold labels"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=value",
        help="override one key of every configuration",
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Label a few posts with each configuration, and show the answers side by side."""
    settings = TrySettings(
        posts=options.posts,
        seed=options.seed,
        gold=options.gold,
        database=options.database,
        overrides=options.set,
    )
    result = try_posts(options.configs, settings=settings, say=printer)
    if options.debug:
        # Without surrogates, which a terminal cannot show.
        shown = "".join(attempt.traceback for attempt in result.attempts)
        print(shown.encode(errors="backslashreplace").decode(), end="", file=sys.stderr)
    if not options.json:
        printer("")
        printer.show(*result.describe())
    if result.is_interrupted:
        printer("Interrupted. Nothing was saved.")
    answers = to_json(result.posts, result.attempts, result.agreements)
    return result.exit_code, {"seed": options.seed, **answers}


VERB = Verb(
    name="try",
    example="hpc try configs/llm_toxic.yaml configs/llm_civic.yaml --posts 5",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was saved",
    classifies=True,
)

if __name__ == "__main__":
    cli.main(VERB)
