"""Compare two names with each other, on the posts that both labeled."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb

from hpc.comparison import save_map
from hpc.comparison.columns import check_names, choose_pairs, newest_run_time, unusable_runs
from hpc.comparison.compared import Compared
from hpc.comparison.figures import check_figures, draw_figures
from hpc.comparison.load_analysis import load_analysis
from hpc.comparison.request import LABELS, PATIENCE, Request
from hpc.comparison.save_map import FittedMap, SavedMap
from hpc.display.comparison.agreement import NamesReport, Side, describe_names
from hpc.display.comparison.saved_map import describe_saved_map
from hpc.display.screen import Screen
from hpc.figures.plan import of_names
from hpc.run.exit_codes import FAILED
from pipeline.analysis.gold.sample_design import SampleDesign, find_sample, samples_of
from pipeline.analysis.options import CompareOptions
from pipeline.analysis.overlap import Overlap, count_labeled
from pipeline.analysis.results import CONFIDENCE, Comparison, NotCompared
from pipeline.backlog import select
from pipeline.database import duckdb_file
from pipeline.messages.options import PAIRS

CompareLabels = Callable[[Overlap, int, CompareOptions], Comparison | NotCompared]


def compare_names(request: Request, printer: Screen) -> Compared:
    """Compare the label columns of two names.

    Args:
        request: the names, and how to compare them.
        printer: shows the report and what is wrong.
    """
    a, b = request.names
    check_figures(request.figures)
    with printer.step("loading the statistics"):
        compare_labels: CompareLabels = load_analysis("pipeline.analysis.measures").compare_labels
    fitted: FittedMap | None = None
    with (
        tempfile.TemporaryDirectory(prefix="hpc-compare-") as folder,
        select.staging(Path(folder), request.limits) as connection,
    ):
        duckdb_file.attach(connection, request.database, LABELS, patience=PATIENCE)
        unusable = unusable_runs(connection, request.names)
        for each in unusable:
            printer(str(each))
        check_names(connection, request.names, request.database)
        run_root = save_map.choose_run_root(connection, request) if request.saves_map else None
        sample = _find_sample(connection, request)
        pairs = choose_pairs(connection, (a, b), request.column_pairs)
        overlap = Overlap(connection, (a, b), LABELS, pairs, sample)
        sides = tuple(
            Side(
                name=name,
                posts=count_labeled(connection, name, LABELS),
                models=overlap.models(side),
                posts_not_gathered=request.open_posts_of(name).not_gathered,
                posts_missing=request.open_posts_of(name).missing,
            )
            for side, name in (("a", a), ("b", b))
        )
        until = newest_run_time(connection, request.names)
        # Resampling may take long, and a gather would have to wait for the database.
        connection.execute(f"DETACH {LABELS}")
        results = [
            compare_labels(overlap, number, request.settings) for number in range(len(pairs))
        ]
        if run_root:
            fitted = save_map.fit(overlap, request, run_root, sample.name if sample else None)
    report = NamesReport(
        database=str(request.database),
        sides=sides,
        posts=overlap.posts,
        sample=sample.name if sample else None,
        resamples=request.settings.draws.resamples,
        seed=request.settings.draws.seed,
        results=tuple(results),
    )
    printer.show(*describe_names(report))
    saved = save_map.save(fitted, request.database, printer) if fitted else None
    if saved:
        printer.show(
            *describe_saved_map(
                saved.fitted.score_map, saved.fitted.file, saved.replaced, saved.fitted.not_mapped
            )
        )
    return Compared(
        report=report,
        bins=request.settings.bins,
        figures=draw_figures(of_names((a, b), report.comparisons, until), request.figures, printer),
        exit_code=_code(report, saved, printer),
        saved_map=saved,
        unusable_runs=tuple(each.folder for each in unusable),
    )


def _find_sample(connection: duckdb.DuckDBPyConnection, request: Request) -> SampleDesign | None:
    """Return the sample that the second name labeled, or else the first; None if it is not clear.

    Raises:
        InputError: neither has the wanted sample.
    """
    a, b = request.names
    for name in (b, a):
        samples = samples_of(connection, name, LABELS)
        if request.sample in samples or (request.sample is None and len(samples) == 1):
            return find_sample(connection, name, LABELS, request.sample)
    return find_sample(connection, b, LABELS, request.sample) if request.sample else None


def names_document(report: NamesReport) -> dict[str, Any]:
    """Return what `compare --json` prints about two names."""
    return {
        "database": report.database,
        "a": asdict(report.sides[0]),
        "b": asdict(report.sides[1]),
        "posts": report.posts,
        "sample": report.sample,
        "confidence": CONFIDENCE,
        "resamples": report.resamples,
        "seed": report.seed,
        "comparisons": [asdict(comparison) for comparison in report.comparisons],
        "not_compared": [
            asdict(comparison)
            for comparison in report.results
            if isinstance(comparison, NotCompared)
        ],
    }


def map_document(saved: SavedMap) -> dict[str, Any]:
    """Return what `compare --json` prints about a map that was saved."""
    return {
        **saved.fitted.score_map.to_json(),
        "file": str(saved.fitted.file),
        "replaced": str(saved.replaced) if saved.replaced else None,
        "is_shown": not saved.held,
        "not_mapped": [asdict(each) for each in saved.fitted.not_mapped],
    }


def _code(report: NamesReport, saved: SavedMap | None, printer: Screen) -> int:
    """Return the exit code, and say what to do where nothing could be compared."""
    a, b = (side.name for side in report.sides)
    if not report.posts:
        printer(
            f"\nno post has a label of both names. To label the same posts under {b}: "
            f"hpc submit --config FILE --only-labeled-by {a}"
        )
        return FAILED
    if not any(comparison.posts for comparison in report.comparisons):
        printer(
            f"\nnone of these columns can be compared; pair other columns with {PAIRS.usage('a=b')}"
        )
        return FAILED
    if saved and saved.held:
        printer(f"\n{saved.held}, so it does not show the mapped labels yet. Run: hpc gather")
        return FAILED
    return 0
