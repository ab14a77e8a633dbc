"""Run `hpc compare`: how far two names agree on the posts that both labeled."""

import argparse
import importlib
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb

from hpc import cli
from hpc.config import run_config
from hpc.exit_codes import FAILED
from hpc.report.blocks import Block, Line
from hpc.report.comparison import describe_comparison, describe_rejection
from hpc.report.console import Printer
from hpc.run.unusable_runs import UnusableRun, find_unusable
from hpc.verb import Outcome, Verb
from pipeline.analysis.options import BootstrapDraws, CompareOptions
from pipeline.analysis.overlap import Overlap, Pair, count_labeled, label_columns
from pipeline.analysis.results import CONFIDENCE, Comparison, NotCompared
from pipeline.backlog import select
from pipeline.database import duckdb_file, history, label_tables
from pipeline.errors import InputError, RunError
from pipeline.model import Column
from pipeline.text import counted, did_you_mean

LABELS = "labels"
EXTRA_PACKAGES = ("numpy", "scipy", "sklearn")
# Columns about the answer, not labels: compared only where --map asks for them. The models are
# shown for each side anyway.
NOT_LABELS = frozenset({"llm_model_name", "attributes_not_supported", "was_truncated"})

CompareLabels = Callable[[Overlap, int, CompareOptions], Comparison | NotCompared]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc compare`."""
    parser.add_argument("a", metavar="NAME_A", help="a name of labels in the database")
    parser.add_argument("b", metavar="NAME_B", help="another name")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--config", type=Path, metavar="FILE", help="use this configuration's database"
    )
    where.add_argument(
        "--database", type=Path, metavar="FILE", help="use this one (default: labels.duckdb)"
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="a=b",
        help="also compare A's column a with B's column b, whatever their names; repeatable",
    )
    parser.add_argument(
        "--threshold",
        type=cli.finite_number,
        metavar="NUMBER",
        help="numbers are positive from here on (default: 0.5 where all are between 0 and 1)",
    )
    parser.add_argument(
        "--bins",
        choices=("uniform", "quantile"),
        default="uniform",
        help="bins of the calibration curve: of the same width (default), or with equal posts",
    )
    parser.add_argument(
        "--resamples",
        type=cli.at_least(1),
        default=1000,
        metavar="N",
        help="bootstrap resamples (default: 1000)",
    )
    parser.add_argument(
        "--seed",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="seed of the bootstrap (default: 0)",
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Compare the label columns of two names."""
    database = _database(options)
    compare_labels = _load_compare_labels()
    settings = CompareOptions(
        threshold=options.threshold,
        bins=options.bins,
        draws=BootstrapDraws(options.resamples, options.seed),
    )
    with (
        tempfile.TemporaryDirectory(prefix="hpc-compare-") as folder,
        select.staging(Path(folder)) as connection,
    ):
        duckdb_file.attach(connection, database, LABELS)
        unusable = _unusable_runs(connection, (options.a, options.b))
        for each in unusable:
            printer(str(each))
        pairs = _choose_pairs(connection, options, database)
        overlap = Overlap(connection, (options.a, options.b), LABELS, pairs)
        sides = {
            side: {
                "name": name,
                "posts": count_labeled(connection, name, LABELS),
                "models": overlap.models(side),
            }
            for side, name in (("a", options.a), ("b", options.b))
        }
        # Resampling may take long, and a gather would have to wait for the database.
        connection.execute(f"DETACH {LABELS}")
        results = [compare_labels(overlap, number, settings) for number in range(len(pairs))]
    comparisons = [result for result in results if isinstance(result, Comparison)]
    rejected = [result for result in results if isinstance(result, NotCompared)]
    document = {
        "database": str(database),
        **sides,
        "posts": overlap.posts,
        "confidence": CONFIDENCE,
        "resamples": options.resamples,
        "seed": options.seed,
        "bins": options.bins,
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "not_compared": [asdict(pair) for pair in rejected],
        "unusable_runs": [str(each.folder) for each in unusable],
    }
    if not options.json:
        printer.show(*_report(document, comparisons, rejected))
    if not overlap.posts:
        printer(
            f"\nno post has a label of both names. To label the same posts under {options.b}: "
            f"hpc submit --config FILE --only-labeled-by {options.a}"
        )
        return FAILED, document
    if not any(comparison.posts for comparison in comparisons):
        printer("\nnone of these columns can be compared; pair other columns with --map a=b")
        return FAILED, document
    return 0, document


def _database(options: argparse.Namespace) -> Path:
    if options.config:
        database = run_config.load_storage(options.config).database
    else:
        database = (options.database or Path("labels.duckdb")).expanduser().absolute()
    if not database.is_file():
        raise InputError(f"there is no database {database}; name one with --config or --database")
    return database


def _unusable_runs(
    connection: duckdb.DuckDBPyConnection, names: tuple[str, str]
) -> list[UnusableRun]:
    """Return the runs that may be of these names and cannot be read, beside the recorded ones."""
    return [
        unusable
        for root in history.run_roots(connection, LABELS, names)
        for unusable in find_unusable(root)
        if any(map(unusable.may_be_of, names))
    ]


def _choose_pairs(
    connection: duckdb.DuckDBPyConnection, options: argparse.Namespace, database: Path
) -> list[Pair]:
    """Return the columns with the same name, then those that --map names."""
    names = label_tables.names(connection, LABELS)
    for name in (options.a, options.b):
        if name not in names:
            raise InputError(
                f"{database} has no labels of the name {name}{did_you_mean(name, names)}; "
                f"it has: {', '.join(names) or 'none'}"
            )
    of_a = label_columns(connection, options.a, LABELS)
    of_b = label_columns(connection, options.b, LABELS)
    chosen = {(name, name): None for name in of_a if name in of_b and name not in NOT_LABELS}
    for mapping in options.map:
        a, equals, b = mapping.partition("=")
        if not equals:
            raise InputError(f"--map {mapping}: should be a=b, a column of A and a column of B")
        for column, columns, name in ((a, of_a, options.a), (b, of_b, options.b)):
            if column not in columns:
                raise InputError(
                    f"--map {mapping}: {name} has no column {column!r}"
                    f"{did_you_mean(column, tuple(columns))}; it has: {_list_names(columns)}"
                )
        chosen[a, b] = None
    if not chosen:
        raise InputError(
            f"{options.a} ({_list_names(of_a, NOT_LABELS)}) and {options.b} "
            f"({_list_names(of_b, NOT_LABELS)}) have no label column of the same name; pair their "
            "columns with --map a=b"
        )
    return [Pair(of_a[a], of_b[b]) for a, b in chosen]


def _list_names(columns: dict[str, Column], without: frozenset[str] = frozenset()) -> str:
    return ", ".join(name for name in columns if name not in without) or "none"


def _load_compare_labels() -> CompareLabels:
    """Import the measures when they are needed.

    scipy and scikit-learn take a second to import, and are an optional extra.
    """
    try:
        measures = importlib.import_module("pipeline.analysis.measures")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRA_PACKAGES:
            raise
        raise RunError(
            f"compare needs extra packages, and {error.name} is not installed. Install them with: "
            "python -m pip install scipy scikit-learn"
        ) from None
    compare_labels: CompareLabels = measures.compare_labels
    return compare_labels


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


VERB = Verb(
    name="compare",
    example="hpc compare perspective llm_toxicity --map prob_toxic=toxicity",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
