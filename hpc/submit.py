"""Submit the posts that have no label yet as a new run: `hpc submit`."""

import argparse
from datetime import UTC, datetime
from typing import Any

from hpc.api.submission import SubmitResult, plan, preview, submit
from hpc.command_line import cli
from hpc.command_line.same_command import same_command
from hpc.command_line.verb import Outcome, Verb
from hpc.display.console import Printer
from hpc.display.dry_run.columns import columns_document
from hpc.planning.measured.submit_canary import canary_document
from hpc.planning.new_run.describe_draft import speed_document
from hpc.planning.new_run.describe_sample import sample_document
from hpc.planning.run_spec import Canary, Selection
from hpc.planning.service_end import end_document, until_end
from hpc.run.array_indices import parse_jobs_to_await
from hpc.run.run_state import RunStatus
from pipeline.errors import InputError, Interruption
from pipeline.sampling.allocate import Allocation
from pipeline.sampling.draw import MONTH, DrawRequest


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc submit`."""
    cli.config_arguments(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the plan, the first request, the columns of the labels and the batch script; "
        "submit and write nothing",
    )
    afterwards = parser.add_mutually_exclusive_group()
    afterwards.add_argument(
        "--wait", action="store_true", help="stay and supervise the run until it ends"
    )
    afterwards.add_argument(
        "--caretaker",
        action="store_true",
        help="add a small Slurm job that supervises the run, so that no process has to stay here",
    )
    afterwards.add_argument(
        "--plan-only",
        action="store_true",
        help="write the shards and a task list for another engine, and submit nothing; see "
        "hpc adopt",
    )
    parser.add_argument(
        "--canary",
        type=cli.at_least(1),
        metavar="N",
        help="label the first N posts, wait for them, and report speed, memory and cost before the "
        "others",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="with --canary: submit the others as well if the canary went well",
    )
    parser.add_argument(
        "--after",
        type=_jobs_to_await,
        metavar="JOBID[,JOBID]",
        default=(),
        help="start the tasks once these Slurm jobs have succeeded: 4711, or 4711_3 for one task "
        "of an array",
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
        type=cli.not_empty,
        metavar="NAME",
        help="label only posts that are labeled under NAME, of any age, so that compare "
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


def _jobs_to_await(text: str) -> tuple[str, ...]:
    try:
        return parse_jobs_to_await(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Submit the posts, or show what a submit would do."""
    selection = _selection(options)
    if options.dry_run:
        shown = preview(
            options.config,
            selection=selection,
            overrides=options.set,
            caretaker=options.caretaker,
            plan_only=options.plan_only,
            say=printer,
        )
        planned = shown.preview
        first = planned.first_request if planned else None
        return planned.exit_code if planned else 0, {
            **_document(shown),
            "waves": planned.waves if planned else None,
            "first_request": first and first.body,
            "first_request_url": first and first.url,
            "script": (planned.script or None) if planned else None,
            "columns": columns_document(shown.spec.columns),
            "checks": [finding.to_json() for finding in planned.findings] if planned else [],
        }
    if options.plan_only:
        planned_run = plan(options.config, selection=selection, overrides=options.set, say=printer)
        return planned_run.exit_code, _document(planned_run)
    try:
        result = submit(
            options.config,
            selection=selection,
            overrides=options.set,
            wait=options.wait,
            caretaker=options.caretaker,
            say=printer,
        )
    except Interruption as interruption:
        if not interruption.continues_by_repeating:
            raise
        yes = " --yes" if options.yes else ""
        again = f"{same_command('submit', vars(options))}{yes}"
        raise Interruption(f"{interruption}: {again}") from None
    if result.canary and result.canary.waits_for_yes:
        printer(f"\nnext: {same_command('submit', vars(options))} --yes")
    return result.exit_code, _document(result)


def _selection(options: argparse.Namespace) -> Selection:
    if options.yes and not options.canary:
        raise InputError("--yes submits the posts that follow a canary: add --canary N")
    return Selection(
        backfill=options.backfill,
        limit=options.limit,
        supersede=options.supersede,
        retry_reason=options.retry_unlabelable,
        only_labeled_by=options.only_labeled_by,
        where=options.where,
        sample=_draw_request(options),
        sample_name=options.sample_name,
        after=options.after,
        canary=Canary(posts=options.canary, goes_on=options.yes) if options.canary else None,
    )


def _draw_request(options: argparse.Namespace) -> DrawRequest | None:
    """Return which sample to draw, if any.

    Raises:
        InputError: an option lacks the one that it belongs to, or the seed.
    """
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


def _document(result: SubmitResult) -> dict[str, Any]:
    draft, spec, estimate = result.draft, result.spec, result.estimate
    unsent = {each.reason: each.posts for each in draft.unsent}
    of_run = result.run.manifest if result.run else spec.config.backlog
    texts = result.posts - sum(unsent.values()) - result.copies - draft.repeated.asked_again
    return {
        "run_id": result.run_id,
        "run_dir": str(result.run_dir) if result.run_dir else None,
        "posts": result.posts,
        "shards": result.shards,
        "array_jobs": list(result.array_jobs),
        "dry_run": result.dry_run,
        "files": draft.files,
        "left_out": [each.to_json() for each in draft.left_out],
        "unlabelable_by_reason": unsent,
        "late_posts": draft.counts.older,
        "unread_rows": draft.counts.unread,
        "future_posts": draft.future.posts if draft.future else 0,
        "ancient_posts": draft.ancient.posts if draft.ancient else 0,
        "distinct_texts": texts if of_run.ask_each_text_once else None,
        "copies": result.copies,
        "requests": estimate.requests,
        "requests_saved": result.requests_saved,
        "quota_minutes": estimate.minutes,
        "cost_estimate": estimate.cost,
        "currency": estimate.currency,
        **end_document(until_end(spec.service_end, datetime.now(UTC), spec.cost_options)),
        **speed_document(spec, draft),
        "sample": sample_document(draft.sample),
        "canary": canary_document(spec, result.canary) if result.canary else None,
        **_labels_document(result.end),
    }


def _labels_document(end: RunStatus | None) -> dict[str, Any]:
    """Return how many labels a run has in the end; null if nobody has waited for that."""
    labels = end.labels if end else None
    return {
        "labeled": labels.labeled if labels and not labels.unknown else None,
        "unlabelable": dict(labels.unlabelable) if labels else None,
    }


VERB = Verb(
    name="submit",
    example="hpc submit --config valence.yaml",
    arguments=arguments,
    act=act,
    if_interrupted="nothing is lost. To continue, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
