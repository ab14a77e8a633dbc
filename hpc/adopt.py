"""Adopt the labels that another engine gave to a run: `hpc adopt`."""

import argparse
from pathlib import Path

from hpc.api.adoption import AdoptResult, AdoptSettings, adopt
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.console import Printer


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc adopt`."""
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="the engine's files, or one of them: .parquet, .jsonl or .jsonl.gz with uri and the "
        "labels in each row",
    )
    cli.run_arguments(parser)
    parser.add_argument(
        "--engine",
        type=cli.not_empty,
        metavar="TEXT",
        help="what gave the answers, with its version (default: what the last "
        "adoption that named it said, or else classifier.engine)",
    )
    parser.add_argument(
        "--missing",
        type=_reason,
        metavar="REASON",
        help="give posts without an answer this reason, and publish their shards; "
        "an answer that comes later replaces it with the same option, and submit "
        "--retry-unlabelable REASON takes the posts again",
    )
    parser.add_argument("--dry-run", action="store_true", help="check every row, and write nothing")


def _reason(text: str) -> str:
    if not text.isascii() or not text.replace("_", "a").isalnum():
        raise argparse.ArgumentTypeError("should be one word, such as not_labeled")
    return text


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Adopt the answers, and say what is missing."""
    settings = AdoptSettings(
        engine=options.engine or "", missing=options.missing or "", dry_run=options.dry_run
    )
    result = adopt(
        options.folder, options.run, settings=settings, at=chosen_place(options), say=printer
    )
    return result.exit_code, _document(result, is_dry_run=options.dry_run)


def _document(result: AdoptResult, *, is_dry_run: bool) -> dict[str, object]:
    adopted, gathered = result.found, result.gathered
    return {
        "run_id": result.run.run_id,
        "run_dir": str(result.run.folder),
        "dry_run": is_dry_run,
        "adoption": result.adoption,
        "engine": adopted.engine or None,
        "files": [
            {"path": str(file.path), "sha256": file.sha256, "rows": rows}
            for file, rows in zip(adopted.found.files, adopted.staged.rows, strict=True)
        ],
        "ignored_files": list(adopted.found.ignored),
        "ignored_columns": list(adopted.staged.ignored_columns),
        "rows": sum(adopted.staged.rows),
        "new_answers": result.answers,
        "adopted_before": adopted.matched.adopted_before,
        "repeated": adopted.matched.repeated,
        "empty": adopted.matched.empty,
        "not_asked": adopted.matched.not_asked,
        "shards_published": list(result.published),
        "posts_waiting": result.waiting,
        "posts_given_up": adopted.given_up,
        "reasons_replaced": adopted.matched.late,
        "rows_added": gathered.rows_added if gathered else None,
    }


VERB = Verb(
    name="adopt",
    example="hpc adopt runs/20240601T120000-stance-1a2b3c4d/answers --engine datatrove-0.10",
    arguments=arguments,
    act=act,
    if_interrupted="what was published stays. To continue, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
