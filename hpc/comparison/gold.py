"""Compare names with human gold: read everything at once, then measure."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from hpc.comparison.columns import (
    check_names,
    choose_pairs,
    newest_run_time,
    pairs_for,
    unusable_runs,
)
from hpc.comparison.compared import Compared
from hpc.comparison.figures import check_figures, draw_figures
from hpc.comparison.load_analysis import load_analysis
from hpc.comparison.request import LABELS, PATIENCE, Request
from hpc.database.published_labels import OpenPosts
from hpc.display.comparison.gold import GoldReport, ModelReport, describe_gold
from hpc.display.screen import Screen
from hpc.figures.plan import of_gold
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Say
from hpc.runs.missing_posts import describe_open
from hpc.runs.unusable_runs import UnusableRun
from pipeline.analysis.gold.results import Caution, GoldComparison, NotJudged, Warned
from pipeline.analysis.gold.sample_design import (
    SampleDesign,
    count_outside,
    find_sample,
    samples_of,
)
from pipeline.analysis.overlap import count_labeled
from pipeline.analysis.results import CONFIDENCE
from pipeline.backlog import select
from pipeline.database import duckdb_file
from pipeline.messages.options import PAIRS
from pipeline.text import counted

# The sample and the labels are of the same posts, unless their numbers differ by more than that.
_MOST_DIFFERENCE = 0.05
# Where the number of posts is estimated, it may differ by more, and by this many standard errors.
# If a few texts have many posts each, the standard error alone is too small.
_MOST_DIFFERENCE_OF_ESTIMATE = 0.2
_MOST_ERRORS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """What was read of one model."""

    name: str
    posts: int
    open_posts: OpenPosts
    judgements: tuple[Any, ...]
    """Judgements, and pairs that are not judged. Their type needs numpy."""
    cautions: tuple[Caution, ...]


def compare_with_gold(request: Request, screen: Screen) -> Compared:
    """Compare label columns of some names with gold.

    Args:
        request: the names, gold, and how to compare them.
        screen: shows the report and what is wrong.
    """
    check_figures(request.figures)
    with screen.step("loading the statistics"):
        load_analysis("pipeline.analysis.gold.evaluate")
    report, unusable = measure_with_gold(request, screen)
    screen.show(*describe_gold(report))
    models = [(each.name, find_comparable(each.comparisons)) for each in report.models]
    plans = of_gold(report.gold, models, report.until)
    return Compared(
        report=report,
        bins=request.settings.bins,
        figures=draw_figures(plans, request.figures, screen),
        unusable_runs=tuple(each.folder for each in unusable),
        exit_code=_code(report, screen),
    )


def measure_with_gold(request: Request, say: Say) -> tuple[GoldReport, list[UnusableRun]]:
    """Measure label columns of some names on gold.

    Args:
        request: the names, gold, and how to compare them.
        say: shows what is wrong.

    Returns:
        The measures, and the runs that may belong to them and cannot be read.

    Raises:
        InputError: a name has no labels, or no columns can be compared.
        RunError: packages of the extra `compare` are missing, or the sample's rows are.
    """
    assert request.gold is not None
    evaluate = load_analysis("pipeline.analysis.gold.evaluate").evaluate
    with (
        tempfile.TemporaryDirectory(prefix="hpc-compare-") as folder,
        select.staging(Path(folder), request.limits) as connection,
    ):
        duckdb_file.attach(connection, request.database, LABELS, patience=PATIENCE)
        names = (*request.names, request.gold)
        unusable = unusable_runs(connection, names)
        for each in unusable:
            say(str(each))
        check_names(connection, names, request.database)
        sample = find_sample(connection, request.gold, LABELS, request.sample)
        outside = count_outside(connection, sample, request.gold, LABELS) if sample else 0
        posts = count_labeled(connection, request.gold, LABELS)
        until = newest_run_time(connection, names)
        read = [_read(connection, request, name, sample) for name in request.names]
    models = tuple(
        ModelReport(
            name=each.name,
            posts=each.posts,
            posts_not_gathered=each.open_posts.not_gathered,
            posts_missing=each.open_posts.missing,
            comparisons=tuple(
                judgement
                if isinstance(judgement, NotJudged)
                else evaluate(judgement, request.settings.draws)
                for judgement in each.judgements
            ),
            cautions=each.cautions,
        )
        for each in read
    )
    report = GoldReport(
        database=str(request.database),
        gold=request.gold,
        posts=posts,
        sample=sample,
        outside=outside,
        resamples=request.settings.draws.resamples,
        seed=request.settings.draws.seed,
        models=models,
        until=until,
    )
    return report, unusable


def _read(
    connection: duckdb.DuckDBPyConnection, request: Request, name: str, sample: SampleDesign | None
) -> _Read:
    assert request.gold is not None
    read = load_analysis("pipeline.analysis.gold.read")
    named = pairs_for(connection, name, request.names, request.column_pairs)
    pairs = choose_pairs(connection, (name, request.gold), named)
    judged = read.JudgedPosts(connection, (name, request.gold), LABELS, pairs, sample)
    posts = count_labeled(connection, name, LABELS)
    return _Read(
        name=name,
        posts=posts,
        open_posts=request.open_posts_of(name),
        judgements=tuple(judged.read(number, request.settings) for number in range(len(pairs))),
        cautions=(
            *_find_cautions(connection, name, posts, sample),
            *_find_left_out(request, (name, request.gold)),
        ),
    )


def _find_left_out(request: Request, names: Sequence[str]) -> Iterator[Caution]:
    """Yield a warning for the posts of runs that the database does not have."""
    for name in names:
        posts = request.open_posts_of(name)
        for text in describe_open(name, posts.not_gathered, posts.missing):
            yield Caution(kind=Warned.POSTS_LEFT_OUT, text=text)


def _find_cautions(
    connection: duckdb.DuckDBPyConnection, name: str, posts: int, sample: SampleDesign | None
) -> list[Caution]:
    """Return warnings if a name has labeled other posts than those that the sample represents."""
    cautions = []
    if sample and _is_of_others(sample, posts):
        text = (
            f"the sample stands for {counted(round(sample.population), 'post')}, and {name} has "
            f"labeled {counted(posts, 'post')}. The corrected shares are right only if the posts "
            "that are not in both are like the others"
        )
        cautions.append(Caution(kind=Warned.OTHER_POPULATION, text=text))
    if own := samples_of(connection, name, LABELS):
        text = (
            f"{name} has labeled posts of the sample {', '.join(own)}. The shares hold for the "
            "posts that it has labeled, not for the backlog that they were drawn from"
        )
        cautions.append(Caution(kind=Warned.OTHER_POPULATION, text=text))
    return cautions


def _is_of_others(sample: SampleDesign, posts: int) -> bool:
    """Tell whether a sample was drawn from clearly more or fewer posts than a name has labeled."""
    is_estimate = sample.population_error > 0
    share = _MOST_DIFFERENCE_OF_ESTIMATE if is_estimate else _MOST_DIFFERENCE
    most = max(share * max(sample.population, posts), _MOST_ERRORS * sample.population_error)
    return abs(sample.population - posts) > most


def gold_document(report: GoldReport) -> dict[str, Any]:
    """Return what `compare --json` prints about names and gold."""
    return {
        "database": report.database,
        "gold": {"name": report.gold, "posts": report.posts},
        "sample": {**asdict(report.sample), "not_in_sample": report.outside}
        if report.sample
        else None,
        "confidence": CONFIDENCE,
        "resamples": report.resamples,
        "seed": report.seed,
        "models": [
            {
                "name": model.name,
                "posts": model.posts,
                "posts_not_gathered": model.posts_not_gathered,
                "posts_missing": model.posts_missing,
                "warnings": [asdict(caution) for caution in model.cautions],
                "comparisons": [
                    asdict(comparison) for comparison in find_comparable(model.comparisons)
                ],
                "not_compared": [
                    asdict(comparison)
                    for comparison in model.comparisons
                    if isinstance(comparison, NotJudged)
                ],
            }
            for model in report.models
        ],
    }


def find_comparable(comparisons: Sequence[GoldComparison | NotJudged]) -> list[GoldComparison]:
    """Return the comparisons of columns that can be compared."""
    return [comparison for comparison in comparisons if isinstance(comparison, GoldComparison)]


def _code(report: GoldReport, printer: Screen) -> int:
    """Return the exit code, and say what to do where a model has nothing to compare."""
    code = 0
    for model in report.models:
        compared = find_comparable(model.comparisons)
        if any(comparison.posts for comparison in compared):
            continue
        code = FAILED
        if compared:
            printer(
                f"\nno coded post of {report.gold} has a label of {model.name}. To label these "
                f"posts: hpc submit --config FILE --only-labeled-by {report.gold}"
            )
        else:
            printer(
                f"\nno column of {model.name} can be compared with {report.gold}; pair other "
                f"columns with {PAIRS.usage('a=b')}"
            )
    return code
