"""Label a few posts with one or several configurations, and save nothing."""

import contextlib
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.overrides import Overrides, override_texts
from hpc.api.call.place import PathText
from hpc.api.call.ranges import check_least
from hpc.api.call.surroundings import library_call
from hpc.display.blocks import Block
from hpc.display.html.render import to_html
from hpc.run.exit_codes import FAILED, INTERRUPTED
from hpc.run.model.run import Say
from hpc.trial.agreement import Agreement, measure_agreement
from hpc.trial.attempt import Attempt, label_posts
from hpc.trial.candidates import Candidate, find_posts_source, load_candidates, one_database
from hpc.trial.expected_use import describe_use
from hpc.trial.posts import DrawRules, TrialPosts, draw_gold_posts, draw_posts
from hpc.trial.report import describe_trial, gold_side, side_of
from pipeline.errors import InputError
from pipeline.messages.options import GOLD, POSTS, SEED, TRIAL_DATABASE
from pipeline.text import counted

DEFAULT_POSTS, MOST_POSTS = 10, 200


@dataclass(frozen=True, kw_only=True, slots=True)
class TrySettings:
    """Which posts are tried, and with what."""

    posts: int = DEFAULT_POSTS
    """How many posts, at most 200."""
    seed: int = 0
    """Decides which posts are drawn."""
    gold: str | None = None
    """Try posts that people labeled under this name, and measure the agreement with them."""
    database: PathText | None = None
    """The database of the gold labels; None: that of the configurations."""
    overrides: Overrides = ()
    """Values by the path of their key, for every configuration."""


USUAL = TrySettings()
"""The settings of `hpc try` without options."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TryResult:
    """What each configuration answered. A notebook shows it as `hpc try` prints it."""

    posts: TrialPosts = field(repr=False)
    """The posts, where they come from, and what people said about them."""
    attempts: tuple[Attempt, ...] = field(repr=False)
    """The answers of each configuration, in their order; none after an interruption."""
    agreements: tuple[Agreement, ...] = field(repr=False)
    """How far each two of them agree, and each with people."""
    is_interrupted: bool
    """Whether Ctrl-C ended it early."""
    exit_code: int
    """What `hpc try` exits with: 0 done, 1 a configuration failed, 130 interrupted."""

    def describe(self) -> list[Block]:
        """Return the answers side by side, as `hpc try` prints them."""
        return describe_trial(self.posts, self.attempts, self.agreements)

    def _repr_html_(self) -> str:
        """Return the answers, for a notebook."""
        return to_html(self.describe())


@check_argument_types
def try_posts(
    configs: PathText | Sequence[PathText],
    *,
    settings: TrySettings = USUAL,
    say: Say | None = None,
) -> TryResult:
    """Label a few posts with one or several configurations, in this process, and save nothing.

    Args:
        configs: one configuration or several, YAML files.
        settings: which posts, and what to override.
        say: receives what the posts may cost, a message before each configuration, and in another
            thread what is wrong with a service that does not answer.

    Raises:
        InputError: a configuration or the source is wrong, or a key is missing.
        RunError: the database of the gold labels cannot be used.
    """
    files = [configs] if isinstance(configs, str | PathLike) else list(configs)
    _check(files, settings)
    screen = screen_of(say)
    with library_call():
        candidates = load_candidates([*map(Path, files)], override_texts(settings.overrides))
        posts = _choose_posts(settings, candidates)
        screen(f"{counted(len(posts.posts), 'post')} of {posts.origin}, seed {settings.seed}")
        if len(posts.posts) < settings.posts:
            screen(f"only {len(posts.posts)} posts have different texts that can be sent")
        for candidate in candidates:
            for line in describe_use(candidate, posts.posts):
                screen(line)
        attempts = _label(candidates, posts, screen)
        agreements = _agreements(posts, attempts)
    is_interrupted = any(attempt.is_interrupted for attempt in attempts)
    has_failed = any(attempt.error for attempt in attempts)
    return TryResult(
        posts=posts,
        attempts=attempts,
        agreements=agreements,
        is_interrupted=is_interrupted,
        exit_code=INTERRUPTED if is_interrupted else FAILED if has_failed else 0,
    )


def _check(files: Sequence[PathText], settings: TrySettings) -> None:
    """Raise InputError if settings exclude each other, or one lacks another."""
    if not files:
        raise InputError("configs: name one or more configurations")
    check_least(POSTS, settings.posts, 1)
    check_least(SEED, settings.seed, 0)
    if settings.posts > MOST_POSTS:
        raise InputError(
            f"{POSTS.set_to(settings.posts)}: at most {MOST_POSTS}. For more: hpc submit --config "
            f"{files[0]} --set name=trial --limit {settings.posts}"
        )
    if settings.database and not settings.gold:
        raise InputError(
            f"{TRIAL_DATABASE} is only used with {GOLD.usage('NAME')}: add it, or omit "
            f"{TRIAL_DATABASE}"
        )


def _choose_posts(settings: TrySettings, candidates: tuple[Candidate, ...]) -> TrialPosts:
    rules = DrawRules(
        count=settings.posts,
        seed=settings.seed,
        min_text_length=max(each.config.backlog.min_text_length for each in candidates),
        limits=candidates[0].config.storage.limits,
    )
    if not settings.gold:
        return draw_posts(find_posts_source(candidates), rules)
    chosen = Path(settings.database).expanduser().absolute() if settings.database else None
    return draw_gold_posts(chosen or one_database(candidates), settings.gold, rules)


def _label(candidates: tuple[Candidate, ...], posts: TrialPosts, say: Say) -> tuple[Attempt, ...]:
    """Return what each configuration answered, one after the other; none after Ctrl-C."""
    attempts: list[Attempt] = []
    for candidate in candidates:
        say(f"{candidate.title}: labeling …")
        # Classifiers print notes for the log of a task.
        with contextlib.redirect_stdout(sys.stderr):
            attempts.append(label_posts(candidate, posts.posts, say))
        if attempts[-1].is_interrupted:
            break
    return tuple(attempts)


def _agreements(posts: TrialPosts, attempts: Sequence[Attempt]) -> tuple[Agreement, ...]:
    sides = [side_of(attempt) for attempt in attempts]
    gold = gold_side(posts)
    pairs = [(gold, side) for side in sides] if gold else []
    pairs += itertools.combinations(sides, 2)
    return tuple(agreement for a, b in pairs for agreement in measure_agreement(a, b))
