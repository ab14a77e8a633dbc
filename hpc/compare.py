"""`python -m hpc.compare`: how far two names agree on the posts that both labelled."""

import argparse
import importlib
import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb

from hpc import cli
from hpc.exit_codes import FAILED
from hpc.run import run_config
from hpc.verb import Verb
from pipeline.analysis import results
from pipeline.analysis.overlap import Overlap, Pair, columns, labelled
from pipeline.backlog import select
from pipeline.database import duckdb_file, label_tables
from pipeline.errors import InputError, RunError
from pipeline.model import Column
from pipeline.text import counted

LABELS = "labels"
EXTRA = ("numpy", "scipy", "sklearn")
# Columns about the answer, beside its labels: compared where --map asks for them. Which model it
# was is said of each side anyway.
NO_LABELS = frozenset({"llm_model_name", "attributes_not_supported", "was_truncated"})


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="NAME_A", help="a name of labels in the database")
    parser.add_argument("b", metavar="NAME_B", help="another")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, help="look into this configuration's database")
    where.add_argument("--database", type=Path, help="look into this one (default: labels.duckdb)")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="a=b",
        help="compare A's column a with B's column b, beside those of the same name; repeatable",
    )
    parser.add_argument(
        "--threshold",
        type=_number,
        help="a number is positive from there on (default: 0.5 where all are between 0 and 1)",
    )
    parser.add_argument(
        "--bins",
        choices=("uniform", "quantile"),
        default="uniform",
        help="of the calibration curve: of the same width (default), or of as many posts",
    )
    parser.add_argument(
        "--resamples", type=cli.at_least(1), default=1000, help="of the bootstrap (default: 1000)"
    )
    parser.add_argument(
        "--seed", type=cli.at_least(0), default=0, help="of the bootstrap (default: 0)"
    )


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    database = _database(given)
    measures = _measures()
    options = measures.CompareOptions(
        threshold=given.threshold,
        bins=given.bins,
        draws=measures.BootstrapDraws(given.resamples, given.seed),
    )
    with (
        tempfile.TemporaryDirectory(prefix="hpc-compare-") as folder,
        select.staging(Path(folder)) as connection,
    ):
        duckdb_file.attach(connection, database, LABELS)
        pairs = _pairs(connection, given, database)
        overlap = Overlap(connection, (given.a, given.b), LABELS, pairs)
        sides = {
            side: {
                "name": name,
                "posts": labelled(connection, name, LABELS),
                "models": overlap.models(side),
            }
            for side, name in (("a", given.a), ("b", given.b))
        }
        connection.execute(f"DETACH {LABELS}")  # resampling may take long, and a gather waits
        found = [measures.compare_labels(overlap, at, options) for at in range(len(pairs))]
    done = [one for one in found if isinstance(one, results.Comparison)]
    left = [one for one in found if isinstance(one, results.NotCompared)]
    document = {
        "database": str(database),
        **sides,
        "posts": overlap.posts,
        "confidence": results.CONFIDENCE,
        "resamples": given.resamples,
        "seed": given.seed,
        "bins": given.bins,
        "comparisons": [asdict(one) for one in done],
        "not_compared": [asdict(one) for one in left],
    }
    if not given.json:
        say("\n\n".join([_head(document), *map(results.text, done)]))
        for one in left:
            say(f"\nA {one.a}, B {one.b}: not compared: {one.reason}")
    if not overlap.posts:
        say(
            "\nnothing in common: python -m hpc.submit --config FILE --only-labelled-by "
            f"{given.a}, with the configuration of {given.b}, labels the same posts"
        )
        return FAILED, document
    if not any(one.posts for one in done):
        say("\nnone of these can be compared: say which columns can, --map a=b")
        return FAILED, document
    return 0, document


def _database(given: argparse.Namespace) -> Path:
    if given.config:
        database = run_config.load_storage(given.config).database
    else:
        database = (given.database or Path("labels.duckdb")).expanduser().absolute()
    if not database.is_file():
        raise InputError(f"there is no database {database}: name it by --config or --database")
    return database


def _pairs(
    connection: duckdb.DuckDBPyConnection, given: argparse.Namespace, database: Path
) -> list[Pair]:
    """The columns of the same name, then those that --map names."""
    names = label_tables.names(connection, LABELS)
    for name in (given.a, given.b):
        if name not in names:
            there = ", ".join(names) or "none"
            raise InputError(f"{database} has no labels of the name {name}; it has: {there}")
    of_a, of_b = columns(connection, given.a, LABELS), columns(connection, given.b, LABELS)
    chosen = {(name, name): None for name in of_a if name in of_b and name not in NO_LABELS}
    for one in given.map:
        a, equals, b = one.partition("=")
        if not equals:
            raise InputError(f"--map {one}: should be a=b, a column of A and one of B")
        for column, has, whose in ((a, of_a, given.a), (b, of_b, given.b)):
            if column not in has:
                raise InputError(
                    f"--map {one}: {whose} has no column {column!r}; it has: {_listed(has)}"
                )
        chosen[a, b] = None
    if not chosen:
        raise InputError(
            f"no label of {given.a} ({_listed(of_a, NO_LABELS)}) has the name of one of {given.b} "
            f"({_listed(of_b, NO_LABELS)}): say which belong together, --map a=b"
        )
    return [Pair(of_a[a], of_b[b]) for a, b in chosen]


def _listed(there: dict[str, Column], but: frozenset[str] = frozenset()) -> str:
    return ", ".join(name for name in there if name not in but) or "none"


def _measures() -> Any:
    """Imported when it is needed: scipy and scikit-learn are an extra, and take a second."""
    try:
        return importlib.import_module("pipeline.analysis.measures")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRA:
            raise
        raise RunError(
            f"comparing needs scipy and scikit-learn, and {error.name} is not here: "
            "python -m pip install scipy scikit-learn"
        ) from None


def _head(document: dict[str, Any]) -> str:
    lines = [f"{document['database']}: {counted(document['posts'], 'post')} labelled by both"]
    for side in "ab":
        one = document[side]
        models = ", ".join(f"{model} {count:,}" for model, count in one["models"].items())
        lines.append(
            f"  {side.upper()} {one['name']}: {one['posts']:,} labelled; of both: {models}"
        )
    lines.append(
        f"  in brackets: {results.CONFIDENCE:.0%} intervals, percentiles of "
        f"{counted(document['resamples'], 'bootstrap resample')} of the posts, "
        f"seed {document['seed']}"
    )
    return "\n".join(lines)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"should be a number, not {text!r}")
    return number


VERB = Verb(
    name="compare",
    example="hpc compare perspective llm_toxicity --map prob_toxic=toxicity",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
