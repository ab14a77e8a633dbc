"""Run `hpc report`: one HTML page about the labels of a name, or of a run."""

import argparse
from pathlib import Path
from typing import Any

import pipeline
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.comparison.load_analysis import load_analysis
from hpc.display.console import Printer
from hpc.html_report.describe_page import ReadSubject, describe_page
from hpc.html_report.methods import describe_methods
from hpc.html_report.page_file import check_page, write_page
from hpc.html_report.read_gold import read_gold
from hpc.html_report.read_speed import filled
from hpc.html_report.read_subject import read_subject
from hpc.html_report.render import render
from hpc.html_report.subjects import Chosen, choose_subjects
from hpc.labels.label_place import find_place
from hpc.run.exit_codes import FAILED
from pipeline.text import counted


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc report`."""
    parser.add_argument(
        "subjects",
        nargs="*",
        metavar="NAME",
        help="a name of labels, or a run's id or folder; several make one page "
        "(default: the newest run's name)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page to write; an earlier page is replaced (default: report-NAME.html)",
    )
    parser.add_argument(
        "--gold",
        default="",
        metavar="NAME",
        help="compare with these human labels (default: with all that there are)",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="a=b",
        help="compare column a with column b of the human labels; repeatable",
    )
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="use this database instead of labels.duckdb"
    )
    cli.root_arguments(parser, "use this configuration's name, database and run root")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Write a page about some names or runs."""
    # Its packages are an extra. Whether they are there is known before anything is read.
    draw = load_analysis("hpc.figures.draw_page_chart", "report").draw_page_chart
    place = find_place(options.config, options.run_root, options.database)
    chosen = choose_subjects(options.subjects, place, options.config, options.database)
    target = (options.out or Path(f"report-{chosen[0].name}.html")).expanduser().absolute()
    check_page(target)
    subjects = [_read(each, options, target.parent, printer) for each in chosen]
    page = render(describe_page(subjects, pipeline.__version__), draw)
    write_page(target, page)
    missing = sum(each.facts.missing for each in subjects)
    printer(f"wrote {target}: {len(page.encode()) / 1000:,.0f} kB")
    if missing:
        printer(
            f"{counted(missing, 'post')} of these runs have no published result yet, and the page "
            "says so. When they have, write it again: the same command"
        )
    document = {"file": str(target), "bytes": len(page.encode()),
                "subjects": [_document(each) for each in subjects]}  # fmt: skip
    has_problems = any(each.facts.problems for each in subjects)
    return FAILED if has_problems else 0, document


def _read(
    chosen: Chosen, options: argparse.Namespace, folder: Path, printer: Printer
) -> ReadSubject:
    facts = read_subject(chosen, folder, printer)
    golds, notes = read_gold(chosen.place, chosen.name, options.gold, options.map, printer)
    return ReadSubject(
        title=chosen.title,
        facts=facts,
        steps={speed.run_id: filled(speed) for speed in facts.speeds},
        golds=golds,
        gold_notes=notes,
    )


def _document(subject: ReadSubject) -> dict[str, Any]:
    facts = subject.facts
    return {
        "name": facts.name,
        "run_id": facts.run_id or None,
        "posts": facts.counts.posts,
        "labeled": facts.counts.labeled,
        "unlabelable": dict(facts.counts.reasons),
        "posts_missing": facts.missing,
        "under_way": any(run.is_under_way for run in facts.runs),
        "methods": describe_methods(facts),
        "sample": facts.sample.name if facts.sample else None,
        "weighted": bool(facts.sample and facts.sample.is_weighted),
        "gold": [each.gold for each in subject.golds],
        "gold_not_compared": list(subject.gold_notes),
        "runs": [
            {
                "run_id": run.run_id,
                "state": run.state,
                "posts": run.posts,
                "posts_published": run.posts_published,
                "shards": run.shards,
                "shards_published": run.shards_published,
                "config_hash": run.config_hash,
                "version": run.version,
                "outputs_digest": run.outputs_digest or None,
            }
            for run in facts.runs
        ],
        "problems": list(facts.problems),
    }


VERB = Verb(
    name="report",
    example="hpc report perspective --out report.html",
    arguments=arguments,
    act=act,
    if_interrupted="a page appears only once it is whole. To write it, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
