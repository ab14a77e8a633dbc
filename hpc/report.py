"""Run `hpc report`: one HTML page about the labels of a name, or of a run."""

import argparse
from pathlib import Path
from typing import Any

from hpc.api.analysis.reporting import report
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.console import Printer
from hpc.html_report.describe_page import SubjectData
from hpc.html_report.methods import describe_methods
from hpc.html_report.wording import format_period
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
        help="the page to write (default: report-NAME.html, in place of an earlier one)",
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
    parser.add_argument("--force", action="store_true", help="replace FILE if it is a page")
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="use this database instead of labels.duckdb"
    )
    cli.root_arguments(parser, "use this configuration's name, database and run root")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Write a page about some names or runs."""
    result = report(
        *options.subjects,
        to=options.out,
        gold=options.gold,
        maps=options.map,
        replace=options.force,
        at=chosen_place(options),
        say=printer,
    )
    printer(f"wrote {result.file}: {result.size / 1000:,.0f} kB")
    if result.posts_missing:
        have = "has" if result.posts_missing == 1 else "have"
        printer(
            f"{counted(result.posts_missing, 'post')} of these runs {have} no published result "
            "yet, and the page says so. Once there are results, run the same command again to "
            "update the page"
        )
    return result.exit_code, {
        "file": str(result.file),
        "bytes": result.size,
        "subjects": [_document(each) for each in result.subjects],
    }


def _document(subject: SubjectData) -> dict[str, Any]:
    facts = subject.facts
    return {
        "name": facts.name,
        "run_id": facts.run_id or None,
        "posts": facts.counts.posts,
        "labeled": facts.counts.labeled,
        "unlabelable": dict(facts.counts.reasons),
        "posts_missing": facts.missing,
        "open_periods": {
            format_period(start, facts.counts.post_period): missing
            for start, missing in facts.open_periods.items()
        },
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
    if_interrupted="no partial page was written. Run the same command again",
)

if __name__ == "__main__":
    cli.main(VERB)
