"""Compare the labels of a name with the human labels of the same posts."""

from collections.abc import Sequence

from hpc.comparison.columns import UnpairedColumns
from hpc.comparison.gold import measure_with_gold
from hpc.comparison.request import Request
from hpc.display.comparison.gold import GoldReport
from hpc.html_report.labeling_setup import without_paths
from hpc.labels.label_place import LabelPlace
from hpc.run.model.run import Say
from pipeline.analysis.options import BootstrapDraws, CompareOptions
from pipeline.errors import BusyError, InputError, RunError
from pipeline.run_files.manifest import HUMAN

RESAMPLES = 1000
MOST_GOLDS = 3


def read_gold(
    place: LabelPlace, name: str, gold: str, column_pairs: Sequence[str], say: Say
) -> tuple[tuple[GoldReport, ...], tuple[str, ...]]:
    """Return the comparisons with gold, and why some gold was not compared.

    Args:
        place: where the labels are.
        name: of the labels.
        gold: the name of the human labels; empty for all that there are.
        column_pairs: pairs of columns, as `a=b`.
        say: shows what is wrong.

    Raises:
        InputError: gold that a person named cannot be compared.
        RunError: gold that a person named cannot be compared now.
    """
    if gold:
        return (_measure(place, name, gold, column_pairs, say),), ()
    reports: list[GoldReport] = []
    notes: list[str] = []
    golds = golds_of(place, name)
    for each in golds[:MOST_GOLDS]:
        try:
            reports.append(_measure(place, name, each, column_pairs, say))
        except (InputError, RunError, BusyError) as error:
            say(f"the human labels {each} are not compared: {error}")
            fact = error.fact if isinstance(error, UnpairedColumns) else str(error)
            why = without_paths(fact).rstrip(".")
            notes.append(f"The human labels {each} are not compared: {why}.")
    if len(golds) > MOST_GOLDS:
        notes.append(f"Of {len(golds)} sets of human labels, the newest {MOST_GOLDS} are compared.")
    return tuple(reports), tuple(notes)


def golds_of(place: LabelPlace, name: str) -> list[str]:
    """Return the names of human labels, the newest first."""
    newest_first = [run.manifest for run in reversed(place.runs)]
    return [
        gold
        for gold in dict.fromkeys(
            manifest.name for manifest in newest_first if manifest.classifier.get("type") == HUMAN
        )
        if gold != name
    ]


def _measure(
    place: LabelPlace, name: str, gold: str, column_pairs: Sequence[str], say: Say
) -> GoldReport:
    request = Request(
        database=place.database,
        names=(name,),
        gold=gold,
        column_pairs=tuple(column_pairs),
        settings=CompareOptions(draws=BootstrapDraws(RESAMPLES, 0)),
    )
    return measure_with_gold(request, say)[0]
