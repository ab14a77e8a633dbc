"""Save the map of a successor's scores, and show the mapped labels in the database."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

import pipeline
from hpc.comparison.load_analysis import load_analysis
from hpc.comparison.request import LABELS, Request
from pipeline.analysis.overlap import Overlap
from pipeline.analysis.results import NotCompared
from pipeline.database import duckdb_file, history, label_tables, mapped_labels
from pipeline.database.duckdb_file import HeldDatabaseError, Patience
from pipeline.errors import InputError
from pipeline.messages.options import CONFIG, PAIRS, SAVE_MAP
from pipeline.run_files import score_map
from pipeline.run_files.score_map import ISOTONIC, ColumnMap, ScoreMap

# How long to wait for another process that has the database open.
WAIT_S = 30.0
FitMap = Callable[[Overlap, int], ColumnMap | NotCompared]


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedMap:
    """A map, and where it will be saved."""

    score_map: ScoreMap
    run_root: Path
    not_mapped: tuple[NotCompared, ...]

    @property
    def file(self) -> Path:
        """Return the file of the map."""
        return score_map.path_of(self.run_root, self.score_map.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedMap:
    """A map that was saved."""

    fitted: FittedMap
    replaced: Path | None
    """Where the map that it replaces is kept."""
    held: str = ""
    """Who has the database open, so that it does not show the mapped labels yet."""


def choose_run_root(connection: duckdb.DuckDBPyConnection, request: Request) -> Path:
    """Return the run root to save a map in, before anything is computed.

    Raises:
        InputError: it is not known, or labels have the name of the mapped ones.
    """
    a, b = request.names
    name = score_map.name_of(b, a)
    names = label_tables.names(connection, LABELS)
    if name in names and not label_tables.is_mapped(connection, name, LABELS):
        raise InputError(f"{SAVE_MAP}: {request.database} has labels of the name {name} already")
    for each in request.names:
        if label_tables.is_mapped(connection, each, LABELS):
            raise InputError(f"{SAVE_MAP}: {each} has mapped labels; map the original ones")
    if request.run_root:
        return request.run_root
    roots = [root for root in history.run_roots(connection, LABELS, [b]) if root.is_dir()]
    if len(roots) != 1:
        raise InputError(
            f"{SAVE_MAP}: the database does not say where the runs of {b} are now: name its "
            f"configuration with {CONFIG.usage('FILE')}"
        )
    return roots[0]


def fit(overlap: Overlap, request: Request, run_root: Path, sample: str | None) -> FittedMap:
    """Fit a map for each pair of numbers.

    Raises:
        InputError: no pair can be mapped, or two of them would get the same name.
    """
    fit_map: FitMap = load_analysis("pipeline.analysis.successor.fit_map").fit_map
    found = [fit_map(overlap, number) for number in range(len(overlap.pairs))]
    columns = tuple(each for each in found if isinstance(each, ColumnMap))
    rejected = tuple(each for each in found if isinstance(each, NotCompared))
    if not columns:
        reasons = "; ".join(f"{each.a} and {each.b}: {each.reason}" for each in rejected)
        raise InputError(f"{SAVE_MAP}: no pair of columns can be mapped. {reasons}")
    twice = [name for name, count in Counter(each.a for each in columns).items() if count > 1]
    if twice:
        raise InputError(
            f"{SAVE_MAP}: several columns would become {', '.join(twice)}. Give {PAIRS} for only "
            "one of them"
        )
    a, b = request.names
    made = ScoreMap(
        name=score_map.name_of(b, a),
        a=a,
        b=b,
        method=ISOTONIC,
        sample=sample,
        fitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        program_version=pipeline.__version__,
        config_hashes_of_a=overlap.config_hashes("a"),
        config_hashes_of_b=overlap.config_hashes("b"),
        columns=columns,
    )
    return FittedMap(score_map=made, run_root=run_root, not_mapped=rejected)


def save(fitted: FittedMap, database: Path, say: Callable[[str], None]) -> SavedMap:
    """Write a map, and create the view of the mapped labels.

    Args:
        fitted: the map.
        database: which nothing else of this process has open.
        say: shows a message.

    Raises:
        OSError: the disk is full, or the folder is closed to this user.
    """
    kept = score_map.write(fitted.run_root, fitted.score_map)
    saved = SavedMap(fitted=fitted, replaced=kept)
    try:
        patience = Patience(seconds=WAIT_S, say=say)
        with duckdb_file.open_database(database, patience=patience) as connection:
            mapped_labels.create_view(connection, fitted.score_map, fitted.file)
    except HeldDatabaseError as error:
        return replace(saved, held=error.where)
    return saved
