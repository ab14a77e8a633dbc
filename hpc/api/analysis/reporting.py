"""Write one HTML page about the labels of names, or of runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pipeline
from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.place import HERE, PathText, Place
from hpc.api.call.surroundings import library_call
from hpc.comparison.load_analysis import load_analysis
from hpc.display.screen import Screen
from hpc.html_report.describe_page import SubjectData, describe_page
from hpc.html_report.observe.read_gold import read_gold
from hpc.html_report.observe.read_speed import fill_gaps
from hpc.html_report.observe.read_subject import read_subject
from hpc.html_report.page_file import check_page, write_page
from hpc.html_report.render import render
from hpc.html_report.subjects import Chosen, choose_subjects
from hpc.labels.label_place import find_place
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Say


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportResult:
    """A page that was written."""

    file: Path
    """The page."""
    size: int
    """How many bytes it has."""
    posts_missing: int
    """How many posts of the runs on it have no published result yet."""
    subjects: tuple[SubjectData, ...] = field(repr=False)
    """What was read for each of its parts."""
    exit_code: int
    """What `hpc report` exits with: 0 done, 1 a part could not be read."""


@check_argument_types
def report(
    *subjects: str,
    to: PathText | None = None,
    gold: str = "",
    maps: Sequence[str] = (),
    replace: bool = False,
    at: Place = HERE,
    say: Say | None = None,
) -> ReportResult:
    """Write one HTML page about labels: methods, charts, tasks and cost.

    This needs the packages of the extra `report`.

    Args:
        subjects: names of labels, or a run's id or folder; none for the newest run's name.
        to: the page to write; None: `report-NAME.html`, in place of an earlier one.
        gold: compare with these human labels; empty for all that there are.
        maps: pairs of columns, as `a=b`: b is one of the human labels.
        replace: replace the page `to` if it exists. What is no page stays in any case.
        at: where the database and the runs are.
        say: receives a message for whatever cannot be read.

    Raises:
        InputError: there are no such labels, or the page must not be written there.
        RunError: the packages are not installed, or the database cannot be used.
        OSError: the disk is full, or the folder is closed to this user.
    """
    screen = screen_of(say)
    with library_call():
        # Its packages are an extra. Whether they are there is known before anything is read.
        with screen.step("loading the charts"):
            draw = load_analysis("hpc.figures.draw_page_chart", "report").draw_page_chart
        place = find_place(at.config_path, at.run_root_path, at.database_path)
        chosen = choose_subjects(subjects, place, at.config_path, at.database_path)
        target = Path(to or f"report-{chosen[0].name}.html").expanduser().absolute()
        check_page(target, replaces=replace or to is None)
        with screen.step("reading the labels"):
            read = tuple(_read(each, gold, maps, target.parent, screen) for each in chosen)
        with screen.step("drawing the page"):
            page = render(describe_page(read, pipeline.__version__), draw)
        write_page(target, page)
    return ReportResult(
        file=target,
        size=len(page.encode()),
        posts_missing=sum(each.facts.missing for each in read),
        subjects=read,
        exit_code=FAILED if any(each.facts.problems for each in read) else 0,
    )


def _read(
    chosen: Chosen, gold: str, column_pairs: Sequence[str], folder: Path, screen: Screen
) -> SubjectData:
    facts = read_subject(chosen, folder, screen)
    golds, notes = read_gold(chosen.place, chosen.name, gold, column_pairs, screen)
    return SubjectData(
        title=chosen.title,
        facts=facts,
        steps={speed.run_id: fill_gaps(speed) for speed in facts.speeds},
        golds=golds,
        gold_notes=notes,
    )
