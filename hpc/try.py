# ruff: noqa: N999 - a verb may be a keyword: its module is run, or imported by its name
"""Run `hpc try`: label a few posts with one or several configurations, and save nothing."""

import argparse
import contextlib
import itertools
import sys
from pathlib import Path
from typing import Any

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.display.console import Printer
from hpc.run.exit_codes import FAILED, INTERRUPTED
from hpc.trial.agreement import Agreement, measure_agreement
from hpc.trial.attempt import Attempt, label_posts
from hpc.trial.candidates import Candidate, find_posts_source, load_candidates, one_database
from hpc.trial.expected_use import describe_use
from hpc.trial.posts import DrawRules, TrialPosts, draw_gold_posts, draw_posts
from hpc.trial.report import describe_trial, gold_side, side_of, to_json
from pipeline.errors import InputError
from pipeline.text import counted

DEFAULT_POSTS, MOST_POSTS = 10, 200


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
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
    if options.posts > MOST_POSTS:
        raise InputError(
            f"--posts {options.posts}: at most {MOST_POSTS}. For more: hpc submit --config "
            f"{options.configs[0]} --set name=trial --limit {options.posts}"
        )
    if options.database and not options.gold:
        raise InputError("--database is only used with --gold NAME: add it, or omit --database")
    candidates = load_candidates(options.configs, tuple(options.set))
    posts = _choose_posts(options, candidates)
    printer(f"{counted(len(posts.posts), 'post')} of {posts.origin}, seed {options.seed}")
    if len(posts.posts) < options.posts:
        printer(f"only {len(posts.posts)} posts have different texts that can be sent")
    for candidate in candidates:
        for line in describe_use(candidate, posts.posts):
            printer(line)
    attempts = _label(candidates, posts, printer)
    if options.debug:
        # Without surrogates, which a terminal cannot show.
        shown = "".join(attempt.traceback for attempt in attempts)
        print(shown.encode(errors="backslashreplace").decode(), end="", file=sys.stderr)
    agreements = _agreements(posts, attempts)
    document: dict[str, Any] = {
        "seed": options.seed,
        **to_json(posts, attempts, agreements),
    }
    if not options.json:
        printer("")
        printer.show(*describe_trial(posts, attempts, agreements))
    if document["interrupted"]:
        printer("Interrupted. Nothing was saved.")
        return INTERRUPTED, document
    return FAILED if any(attempt.error for attempt in attempts) else 0, document


def _choose_posts(options: argparse.Namespace, candidates: tuple[Candidate, ...]) -> TrialPosts:
    rules = DrawRules(
        count=options.posts,
        seed=options.seed,
        min_text_length=max(each.config.backlog.min_text_length for each in candidates),
    )
    if not options.gold:
        return draw_posts(find_posts_source(candidates), rules)
    chosen: Path | None = options.database
    database = chosen.expanduser().absolute() if chosen else one_database(candidates)
    return draw_gold_posts(database, options.gold, rules)


def _label(candidates: tuple[Candidate, ...], posts: TrialPosts, printer: Printer) -> list[Attempt]:
    """Return what each configuration answered, one after the other; none after Ctrl-C."""
    attempts: list[Attempt] = []
    for candidate in candidates:
        printer(f"{candidate.title}: labeling …")
        # Classifiers print notes for the log of a task.
        with contextlib.redirect_stdout(sys.stderr):
            attempts.append(label_posts(candidate, posts.posts))
        if attempts[-1].is_interrupted:
            break
    return attempts


def _agreements(posts: TrialPosts, attempts: list[Attempt]) -> list[Agreement]:
    sides = [side_of(attempt) for attempt in attempts]
    gold = gold_side(posts)
    pairs = [(gold, side) for side in sides] if gold else []
    pairs += itertools.combinations(sides, 2)
    return [agreement for a, b in pairs for agreement in measure_agreement(a, b)]


VERB = Verb(
    name="try",
    example="hpc try configs/llm_toxic.yaml configs/llm_civic.yaml --posts 5",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was saved",
)

if __name__ == "__main__":
    cli.main(VERB)
