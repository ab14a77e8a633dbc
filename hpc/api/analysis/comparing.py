"""Compare the labels of two names, or of names and human gold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.place import HERE, PathText, Place
from hpc.api.call.ranges import check_least
from hpc.api.call.surroundings import library_call
from hpc.comparison.compared import Compared
from hpc.comparison.gold import compare_with_gold
from hpc.comparison.names import compare_names
from hpc.comparison.request import Request
from hpc.config import run_config
from hpc.database.published_labels import OpenPosts, count_open
from hpc.display.blocks import Block
from hpc.display.comparison.agreement import NamesReport, describe_names
from hpc.display.comparison.gold import GoldReport, ModelReport, describe_gold
from hpc.display.html.render import to_html
from hpc.labels.label_place import find_place
from hpc.run.model.run import Say
from pipeline.analysis.options import Bins, BootstrapDraws, CompareOptions
from pipeline.analysis.results import Comparison
from pipeline.errors import InputError
from pipeline.messages.options import CONFIG, DATABASE, GOLD, RESAMPLES, SAVE_MAP, SEED


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareSettings:
    """How labels are compared."""

    sample: str | None = None
    """Weight by this sample; None: the one that was coded, or that the second name labeled."""
    maps: Sequence[str] = ()
    """Further pairs of columns, as `a=b`: a of the first name, b of the second or of gold."""
    save_map: bool = False
    """Fit and save a map from the second name's scores to the first name's."""
    figures: PathText | None = None
    """Draw figures into this folder, as SVG and PNG."""
    threshold: float | None = None
    """Numbers at or above it are positive; None: 0.5 where all are between 0 and 1."""
    bins: Bins = "uniform"
    """Bins of the calibration curve: of the same width, or with the same number of posts."""
    resamples: int = 1000
    """Bootstrap resamples."""
    seed: int = 0
    """Seed of the bootstrap."""


USUAL = CompareSettings()
"""The settings of `hpc compare` without options."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareResult:
    """How labels compare. A notebook shows it as `hpc compare` prints it."""

    report: NamesReport | GoldReport
    """The measures of each pair of columns, with their intervals."""
    figures: tuple[Path, ...]
    """The figures that were drawn."""
    exit_code: int
    """What `hpc compare` exits with: 0 done, 1 nothing could be compared."""
    compared: Compared = field(repr=False)
    """All that was found and written, as the program itself uses it."""

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The pairs of columns of two names that could be compared; none with gold."""
        return tuple(self.report.comparisons) if isinstance(self.report, NamesReport) else ()

    @property
    def models(self) -> tuple[ModelReport, ...]:
        """With gold: each name, and its columns beside the human labels."""
        return self.report.models if isinstance(self.report, GoldReport) else ()

    def _repr_html_(self) -> str:
        """Return the report, for a notebook."""
        return to_html(_describe(self.report))


def _describe(report: NamesReport | GoldReport) -> list[Block]:
    return describe_gold(report) if isinstance(report, GoldReport) else describe_names(report)


@check_argument_types
def compare(
    *names: str,
    gold: str | None = None,
    settings: CompareSettings = USUAL,
    at: Place = HERE,
    say: Say | None = None,
) -> CompareResult:
    """Measure how well two names agree, or how well names match human labels.

    This needs the packages of the extra `compare`.

    Args:
        names: two names of labels; with `gold`, one or two.
        gold: the name of the human labels.
        settings: how to compare.
        at: where the database is.
        say: receives each message, and the report.

    Raises:
        InputError: there are no such labels or columns, or the names do not fit together.
        RunError: the packages are not installed, or the database cannot be used.
        BusyError: somebody has the database open for writing, maybe this process.
        OSError: a folder is full or closed to this user.
    """
    _check(names, gold, settings)
    with library_call():
        database = _find_database(at)
        request = Request(
            database=database,
            names=names,
            gold=gold,
            sample=settings.sample,
            column_pairs=tuple(settings.maps),
            run_root=_find_run_root(at),
            limits=at.find_limits(),
            open_posts=_count_open(at, database, (*names, *([gold] if gold else []))),
            saves_map=settings.save_map,
            figures=Path(settings.figures).expanduser().absolute() if settings.figures else None,
            settings=CompareOptions(
                threshold=settings.threshold,
                bins=settings.bins,
                draws=BootstrapDraws(settings.resamples, settings.seed),
            ),
        )
        act = compare_with_gold if gold else compare_names
        compared = act(request, screen_of(say))
    return CompareResult(
        report=compared.report,
        figures=compared.figures,
        exit_code=compared.exit_code,
        compared=compared,
    )


def _check(names: Sequence[str], gold: str | None, settings: CompareSettings) -> None:
    """Raise InputError if the names do not fit together."""
    if not names or len(names) > 2 or (gold is None and len(names) == 1):
        raise InputError("compare needs two names, or gold and one or two names")
    if gold in names:
        raise InputError(f"{GOLD.set_to(gold)}: compare other names with it, not itself")
    if settings.save_map and gold:
        raise InputError(
            f"{SAVE_MAP} is about two names: leave {GOLD} away, which says nothing about the other "
            "posts"
        )
    check_least(RESAMPLES, settings.resamples, 1)
    check_least(SEED, settings.seed, 0)


def _find_run_root(at: Place) -> Path | None:
    if at.config_path:
        return run_config.load_storage(at.config_path).run_root
    return at.run_root_path and at.find_run_root()


def _count_open(at: Place, database: Path, names: Sequence[str]) -> dict[str, OpenPosts]:
    """Return by name which posts of its runs the database does not have."""
    place = find_place(at.config_path, at.run_root_path, database)
    mapped = place.mapped
    return {
        name: count_open(database, place.trusted_runs(mapped.get(name, name), _say_nothing))
        for name in names
    }


def _say_nothing(message: str) -> None:
    """Leave to the comparison what is wrong with runs: it says so itself."""


def _find_database(at: Place) -> Path:
    database = at.find_database()
    if not database.is_file():
        raise InputError(f"there is no database {database}; name one with {CONFIG} or {DATABASE}")
    return database
