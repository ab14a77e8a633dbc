"""Write the table with predictions and human labels that an estimator takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpc.api.analysis.label_table import LabelFinder, names_of
from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.place import HERE, PathText, Place
from hpc.api.call.surroundings import library_call
from hpc.database.export_target import check_not_posts, export_target
from hpc.labels.hand_over import HandedOver, HandOverRequest, Purpose, describe, hand_over
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Say
from pipeline.errors import InputError
from pipeline.messages.options import GOLD, PURPOSE
from pipeline.text import did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorQuery:
    """Which table an estimator needs."""

    purpose: str
    """The estimator: `dsl` for the R package dsl, `ppi` for the Python package ppi-python."""
    gold: str
    """The name of the human labels."""
    maps: Sequence[str] = ()
    """Pairs of columns as `a=b`: a predicts b of the human labels; empty for columns of the same
    name."""
    columns: str | Sequence[str] = ()
    """Further columns of the predictions; empty for `preprocessing_timestamp`."""
    with_source: str | Sequence[str] = ()
    """Add these columns of the source, joined by uri."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorTableResult:
    """What a table for an estimator holds."""

    name: str
    """The name of the predictions."""
    file: Path
    """The file that was written."""
    rows: int
    """How many posts it has: all that could have been drawn."""
    labeled: int
    """How many of them have human labels."""
    labels: tuple[str, ...]
    """The columns with human labels."""
    columns: tuple[str, ...] = field(repr=False)
    """All columns."""
    sample: str
    """The sample that was coded."""
    left_out: tuple[str, ...] = field(repr=False)
    """A message for each output that was left out."""
    database: Path = field(repr=False)
    """The database of the labels."""
    handed: HandedOver = field(repr=False)
    """What was counted beside that."""
    exit_code: int = 0
    """What `hpc export --for` exits with: 0 done, 1 outputs were left out."""


@check_argument_types
def export_for_estimator(
    name: str | None,
    to: PathText,
    query: EstimatorQuery,
    *,
    replace: bool = False,
    at: Place = HERE,
    say: Say | None = None,
) -> EstimatorTableResult:
    """Write a classifier's labels and human labels of a sample as one table for an estimator.

    Args:
        name: the name of the predictions; None: the only one, or that of the configuration.
        to: the file, which ends in .parquet, .csv or .jsonl, or the latter two and .gz.
        query: which estimator, and which columns.
        replace: replace the file if it exists.
        at: where the database and the runs are.
        say: receives what a person should know about the table.

    Raises:
        InputError: there are no such labels or columns, the sample no longer fits the labels, or
            the file must not be written there.
        RunError: the database is damaged, or an output cannot be read.
        OSError: the disk is full, or the folder is closed to this user.
    """
    screen = screen_of(say)
    target = export_target(to, replaces=replace)
    purpose = _purpose(query.purpose)
    with library_call():
        finder = LabelFinder(at)
        place, chosen = finder.place, finder.choose_name(name)
        if chosen in place.mapped:
            raise InputError(
                f"{PURPOSE.set_to(purpose)}: {chosen} are mapped labels; "
                f"name {place.mapped[chosen]}"
            )
        if not query.gold:
            raise InputError(
                f"{PURPOSE.set_to(purpose)}: name the human labels with {GOLD.usage('NAME')}"
            )
        check_not_posts(target, ("uri",), finder.known_backlogs())
        joined = names_of(query.with_source)
        request = HandOverRequest(
            purpose=purpose,
            name=chosen,
            gold=query.gold,
            column_pairs=tuple(query.maps),
            covariates=names_of(query.columns) or ("preprocessing_timestamp",),
            source=finder.find_source(place.trusted_runs(chosen, screen)) if joined else None,
            source_columns=joined,
        )
        handed = hand_over(place, request, target, screen)
        for line in (*handed.problems, *describe(handed, chosen, target)):
            screen(line)
    return EstimatorTableResult(
        name=chosen,
        file=target,
        rows=handed.table.rows,
        labeled=handed.table.coded_posts,
        labels=tuple(handed.table.labels),
        columns=tuple(handed.table.columns),
        sample=handed.sample,
        left_out=handed.problems,
        database=place.database,
        handed=handed,
        exit_code=FAILED if handed.problems else 0,
    )


def _purpose(text: str) -> Purpose:
    known = tuple(map(str, Purpose))
    if text not in known:
        raise InputError(
            f"{PURPOSE.set_to(text)}: should be one of {', '.join(known)}"
            f"{did_you_mean(text, known)}"
        )
    return Purpose(text)
