"""Compare two names with each other, on the posts that both labeled."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpc.comparison.columns import check_names, choose_pairs, unusable_runs
from hpc.comparison.load_analysis import load_analysis
from hpc.comparison.request import LABELS, Request
from hpc.exit_codes import FAILED
from hpc.report.blocks import Block, Line
from hpc.report.comparison.agreement import describe_comparison, describe_rejection
from hpc.report.console import Printer
from pipeline.analysis.options import CompareOptions
from pipeline.analysis.overlap import Overlap, count_labeled
from pipeline.analysis.results import CONFIDENCE, Comparison, NotCompared
from pipeline.backlog import select
from pipeline.database import duckdb_file
from pipeline.text import counted

CompareLabels = Callable[[Overlap, int, CompareOptions], Comparison | NotCompared]


def compare_names(request: Request, printer: Printer, *, quiet: bool) -> tuple[int, dict[str, Any]]:
    """Compare the label columns of two names; return the exit code and the document.

    Args:
        request: the names, and how to compare them.
        printer: shows the report and what is wrong.
        quiet: whether to leave out the report.
    """
    a, b = request.names
    compare_labels: CompareLabels = load_analysis("pipeline.analysis.measures").compare_labels
    with (
        tempfile.TemporaryDirectory(prefix="hpc-compare-") as folder,
        select.staging(Path(folder)) as connection,
    ):
        duckdb_file.attach(connection, request.database, LABELS)
        unusable = unusable_runs(connection, request.names)
        for each in unusable:
            printer(str(each))
        check_names(connection, request.names, request.database)
        pairs = choose_pairs(connection, (a, b), request.maps)
        overlap = Overlap(connection, (a, b), LABELS, pairs)
        sides = {
            side: {
                "name": name,
                "posts": count_labeled(connection, name, LABELS),
                "models": overlap.models(side),
            }
            for side, name in (("a", a), ("b", b))
        }
        # Resampling may take long, and a gather would have to wait for the database.
        connection.execute(f"DETACH {LABELS}")
        results = [
            compare_labels(overlap, number, request.settings) for number in range(len(pairs))
        ]
    comparisons = [result for result in results if isinstance(result, Comparison)]
    rejected = [result for result in results if isinstance(result, NotCompared)]
    document = {
        "database": str(request.database),
        **sides,
        "posts": overlap.posts,
        "confidence": CONFIDENCE,
        "resamples": request.settings.draws.resamples,
        "seed": request.settings.draws.seed,
        "bins": request.settings.bins,
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "not_compared": [asdict(pair) for pair in rejected],
        "unusable_runs": [str(each.folder) for each in unusable],
    }
    if not quiet:
        printer.show(*_report(document, comparisons, rejected))
    if not overlap.posts:
        printer(
            f"\nno post has a label of both names. To label the same posts under {b}: "
            f"hpc submit --config FILE --only-labeled-by {a}"
        )
        return FAILED, document
    if not any(comparison.posts for comparison in comparisons):
        printer("\nnone of these columns can be compared; pair other columns with --map a=b")
        return FAILED, document
    return 0, document


def _report(
    document: dict[str, Any], comparisons: list[Comparison], rejected: list[NotCompared]
) -> list[Block]:
    blocks: list[Block] = [
        Line(f"{document['database']}: {counted(document['posts'], 'post')} labeled by both names")
    ]
    for side in "ab":
        name, posts = document[side]["name"], document[side]["posts"]
        models = ", ".join(
            f"{model} {count:,}" for model, count in document[side]["models"].items()
        )
        shared = f"; models of the shared posts: {models}" if models else ""
        blocks.append(Line(f"  {side.upper()} {name}: {counted(posts, 'post')} labeled{shared}"))
    blocks.append(
        Line(
            f"  in brackets: {CONFIDENCE:.0%} percentile intervals of "
            f"{counted(document['resamples'], 'bootstrap resample')} of the posts, "
            f"seed {document['seed']}"
        )
    )
    for comparison in comparisons:
        blocks += [Line(""), *describe_comparison(comparison)]
    for pair in rejected:
        blocks += [Line(""), *describe_rejection(pair)]
    return blocks
