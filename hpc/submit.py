"""`hpc submit`: submit the posts that have no label yet as a new run."""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, report_left_out
from hpc.config import run_config
from hpc.config.corrections import GIVEN_OVERRIDE
from hpc.display.console import Printer
from hpc.planning.create_run import RunDraft
from hpc.planning.describe_sample import sample_document
from hpc.planning.estimate import estimate_cost
from hpc.planning.run_spec import RunSpec, Selection, validate
from hpc.planning.service_end import end_document, until_end
from hpc.planning.submit_run import SubmitRequest, preview_run, submit_run
from hpc.run.model import Run
from hpc.run.run_state import RunStatus
from hpc.run.submissions import read_submissions
from pipeline import ownership
from pipeline.errors import InputError
from pipeline.sampling.allocate import Allocation
from pipeline.sampling.draw import MONTH, DrawRequest


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    cli.config_arguments(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the plan and the first request; submit and write nothing",
    )
    afterwards = parser.add_mutually_exclusive_group()
    afterwards.add_argument(
        "--wait", action="store_true", help="then supervise the run until it ends"
    )
    afterwards.add_argument(
        "--caretaker",
        action="store_true",
        help="add a small Slurm job that supervises the run, so that no process has to stay here",
    )
    parser.add_argument(
        "--backfill", action="store_true", help="also label posts from before the watermark"
    )
    relabel = parser.add_mutually_exclusive_group()
    relabel.add_argument(
        "--supersede",
        action="store_true",
        help="also label again what another configuration labeled under this name",
    )
    relabel.add_argument(
        "--retry-unlabelable",
        type=cli.not_empty,
        metavar="REASON",
        help="also retry posts that could not be labeled for REASON",
    )
    parser.add_argument(
        "--only-labeled-by",
        "--only-labelled-by",
        dest="only_labelled_by",
        type=cli.not_empty,
        metavar="NAME",
        help="label only posts that are labeled under NAME, whatever their age, so that compare "
        "has an overlap",
    )
    parser.add_argument(
        "--where",
        type=cli.not_empty,
        metavar="SQL",
        help="with --only-labeled-by: only posts whose labels under NAME meet this condition, "
        "such as 'prob_toxic BETWEEN 0.4 AND 0.6'",
    )
    some = parser.add_mutually_exclusive_group()
    some.add_argument(
        "--limit",
        type=cli.at_least(1),
        metavar="N",
        help="label only the oldest N posts, which are not a random sample",
    )
    some.add_argument(
        "--sample",
        type=cli.at_least(1),
        metavar="N",
        help="label a random sample of N posts of the whole backlog, labeled or not",
    )
    _sample_arguments(parser)


def _sample_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how a sample is drawn."""
    parser.add_argument(
        "--seed",
        type=cli.seed,
        metavar="S",
        help="with --sample: a number of your choice; the same one draws the same posts",
    )
    parser.add_argument(
        "--stratify",
        type=cli.not_empty,
        metavar="COLUMN",
        help="with --sample: draw from each value of this column of the source separately, or from "
        f"each {MONTH} of preprocessing_timestamp",
    )
    parser.add_argument(
        "--allocate",
        choices=list(map(str, Allocation)),
        help="with --stratify: how the strata share the sample (default: proportional)",
    )
    parser.add_argument(
        "--sample-name",
        type=cli.not_empty,
        metavar="SAMPLE",
        help="with --sample: the name of the new sample; without: label this existing sample",
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Submit the posts, or show what a submit would do."""
    overrides = tuple(options.set)
    request = SubmitRequest(
        spec=validate(
            run_config.load(options.config, overrides), os.environ, is_preview=options.dry_run
        ),
        selection=Selection(
            backfill=options.backfill,
            limit=options.limit,
            supersede=options.supersede,
            retry_reason=options.retry_unlabelable,
            only_labelled_by=options.only_labelled_by,
            where=options.where,
            sample=_draw_request(options),
            sample_name=options.sample_name,
        ),
        folders=(options.config.parent.absolute(), Path.cwd()),
        config_text=_config_text(options.config, overrides),
        wait=options.wait,
        caretaker=options.caretaker,
    )
    report_left_out(request.spec.config.storage.run_root, printer)
    if not request.spec.config.storage.trust_group:
        ownership.close_to_group()
    if options.dry_run:
        preview = preview_run(request, printer)
        document = _document(request.spec, preview.draft, None, dry_run=True)
        first = preview.first_request
        return 0, {
            **document,
            **_labels_document(None),
            "waves": preview.waves,
            "first_request": first and first.body,
            "first_request_url": first and first.url,
        }
    result = submit_run(request, printer)
    return result.exit_code, {
        **_document(request.spec, result.draft, result.run),
        **_labels_document(result.end),
    }


def _draw_request(options: argparse.Namespace) -> DrawRequest | None:
    """Return which sample to draw, if any.

    Raises:
        InputError: an option lacks the one that it belongs to, or the seed.
    """
    if options.where and not options.only_labelled_by:
        raise InputError("--where is about the labels of another name: add --only-labeled-by NAME")
    if options.limit and options.sample_name:
        raise InputError("--limit takes the oldest posts, and --sample-name a sample: choose one")
    if options.sample is None:
        for option in ("seed", "stratify", "allocate"):
            if getattr(options, option) is not None:
                raise InputError(f"--{option} says how a sample is drawn: add --sample N")
        return None
    if options.seed is None:
        raise InputError(
            "--sample: add --seed S with any whole number, so that the sample can be drawn again"
        )
    if options.allocate and options.stratify is None:
        raise InputError("--allocate divides a sample among strata: add --stratify COLUMN")
    return DrawRequest(
        size=options.sample,
        seed=options.seed,
        stratify=options.stratify,
        allocation=Allocation(options.allocate or Allocation.PROPORTIONAL),
    )


def _document(
    spec: RunSpec, draft: RunDraft, run: Run | None, *, dry_run: bool = False
) -> dict[str, Any]:
    submissions = read_submissions(run) if run else ()
    posts = run.manifest.posts if run else draft.counts.posts
    unsent = {each.reason: each.posts for each in draft.unsent}
    sent = posts - sum(unsent.values())
    counts_texts = (run.manifest if run else spec.config.backlog).ask_each_text_once
    copied = sum(shard.copies for shard in run.manifest.shards) if run else draft.repeated.copied
    estimate = estimate_cost(spec.cost_options, sent - copied, draft.paid)
    of_all = estimate_cost(spec.cost_options, sent, draft.paid).requests
    return {
        "run_id": run.run_id if run else None,
        "run_dir": str(run.folder) if run else None,
        "posts": posts,
        "shards": len(run.manifest.shards) if run else draft.sizes.count,
        "array_jobs": [each.array_job_id for each in submissions if each.array_job_id is not None],
        "dry_run": dry_run,
        "files": draft.files,
        "left_out": [each.to_json() for each in draft.left_out],
        "unlabelable_by_reason": unsent,
        "late_posts": draft.counts.older,
        "unread_rows": draft.counts.unread,
        "future_posts": draft.future.posts if draft.future else 0,
        "ancient_posts": draft.ancient.posts if draft.ancient else 0,
        "distinct_texts": sent - copied - draft.repeated.asked_again if counts_texts else None,
        "copies": copied,
        "requests": estimate.requests,
        "requests_saved": None if estimate.requests is None else (of_all or 0) - estimate.requests,
        "quota_minutes": estimate.minutes,
        "cost_estimate": estimate.cost,
        "currency": estimate.currency,
        **end_document(until_end(spec.service_end, datetime.now(UTC), spec.cost_options)),
        "sample": sample_document(draft.sample),
    }


def _labels_document(end: RunStatus | None) -> dict[str, Any]:
    """Return how many labels a run has in the end; null if nobody has waited for that."""
    labels = end.labels if end else None
    return {
        "labeled": labels.labeled if labels and not labels.unknown else None,
        "unlabelable": dict(labels.unlabelable) if labels else None,
    }


def _config_text(path: Path, overrides: tuple[str, ...]) -> str:
    notes = "".join(f"{GIVEN_OVERRIDE}{override}\n" for override in overrides)
    return notes + path.read_text(encoding="utf-8")


VERB = Verb(
    name="submit",
    example="hpc submit --config configs/quickstart.yaml",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
