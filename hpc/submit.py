"""`python -m hpc.submit`: posts without a label become a run, and the run an array."""

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpc import cli
from hpc.database.gather_outputs import forget_run, is_gathered, register_run
from hpc.executors.base import Executor, ExecutorError
from hpc.executors.factory import create_executor, executor_of
from hpc.planning import discard, estimate, resume
from hpc.planning.create_run import RunDraft, create_run, draft_run
from hpc.planning.run_spec import RunSpec, Selection, validate
from hpc.reconcile import caretaker
from hpc.reconcile.look import look
from hpc.reconcile.loop import supervise
from hpc.reconcile.submit import submit_shards
from hpc.report.console import Printer
from hpc.report.next_step import describe_next_step
from hpc.report.run_summary import show_result, show_status
from hpc.run import run_config, run_folder, submissions
from hpc.run.array_plan import plan_arrays
from hpc.run.model import ResourceRequest, Run, Say, ShardGroup
from hpc.run.plan import ShardSelection
from hpc.run.run_state import EXIT_CODE, RunState, RunStatus
from hpc.run.selection import planned_shards
from hpc.verb import Verb
from pipeline.errors import BusyError
from pipeline.text import counted
from pipeline.usage import cost_options


def arguments(parser: argparse.ArgumentParser) -> None:
    cli.config_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan, touch nothing")
    onward = parser.add_mutually_exclusive_group()
    onward.add_argument("--wait", action="store_true", help="go on as supervise until it ends")
    onward.add_argument(
        "--caretaker",
        action="store_true",
        help="add a Slurm job that supervises: nothing has to stay here",
    )
    parser.add_argument(
        "--backfill",
        action="store_true",
        help="unlabelled posts from before the watermark too",
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--supersede",
        action="store_true",
        help="label again what another configuration labelled under this name",
    )
    again.add_argument(
        "--retry-unlabelable",
        type=cli.not_empty,
        metavar="REASON",
        help="posts that have this reason too",
    )
    parser.add_argument(
        "--only-labelled-by",
        type=cli.not_empty,
        metavar="NAME",
        help="posts only that have a label under NAME, of whatever age, so that hpc.compare has an "
        "overlap",
    )
    parser.add_argument("--limit", type=cli.at_least(1), help="the oldest N posts only")


def act(given: argparse.Namespace, say: Printer) -> tuple[int, dict[str, Any]]:
    overrides = tuple(given.set)
    settings = run_config.load(given.config, overrides)
    agreed = validate(settings)
    folders = (given.config.parent.absolute(), Path.cwd())
    scope = Selection(
        backfill=given.backfill,
        limit=given.limit,
        supersede=given.supersede,
        retry_reason=given.retry_unlabelable,
        only_labelled_by=given.only_labelled_by,
    )
    if given.dry_run:
        say("dry run: nothing is submitted, nothing is written")
        scope = replace(scope, without=discard.find_discardable(agreed, say))
        draft = draft_run(agreed, scope, folders)
        _tell_plan(agreed, draft, scope, say)
        return 0, _document(agreed, draft, None, dry_run=True)
    executor = create_executor(agreed.executor)
    if given.caretaker:
        executor.caretaker_jobs()  # rejects an executor that needs none
    to_the_end = given.wait or not executor.runs_in_background
    root = settings.storage.run_root
    with ExitStack() as held:
        with run_folder.locked(root, f"another submit is planning under {root}: wait for it"):
            discard.discard_runs(agreed, say)
            taken, elsewhere = resume.resume_runs(agreed, executor, held, say)
            run, draft = create_run(agreed, scope, folders, _given(given.config, overrides))
            _tell_plan(agreed, draft, scope, say)
            if run is None:
                runs = taken
            else:
                say(f"run {run.folder}")
                lock = held.enter_context(run_folder.lock_run(run))
                if executor.runs_in_background:
                    _submit(run, executor, say)
                _register(run, say)
                runs = [*taken, (run, lock)]
            if given.caretaker:
                for one, _ in runs:
                    caretaker.submit_caretaker(one, executor, say)
        ends = [supervise(one, executor, lock, say) if to_the_end else None for one, lock in runs]
    run = runs[-1][0] if runs else None
    code = max((EXIT_CODE[end.state] for end in ends if end), default=0)
    if run is None and elsewhere and to_the_end:
        # Whoever waits for the labels, as a script does, has not got them yet.
        code = EXIT_CODE[RunState.RUNNING]
        say(f"next: python -m hpc.status {elsewhere[-1].folder}")
    elif run is None and executor.runs_in_background:
        found = _tell_unfinished(resume.unfinished(agreed, but=elsewhere), say)
        code = max(code, found) if given.wait else code
    _tell_end(run, ends[-1] if ends else None, say)
    for end in ends[:-1]:
        if end and end.state is not RunState.COMPLETE:  # why the exit code is what it is
            say("")
            show_status(end, say, is_gathered=False)
    return code, _document(agreed, draft, run)


def _submit(run: Run, executor: Executor, say: Say) -> None:
    """All or nothing: where sbatch refuses, the run goes too, and its posts wait for the next."""
    now = look(run, executor)
    selection = ShardSelection(shards=planned_shards(now.judgements))
    try:
        submit_shards(now, executor, selection, say)
    except (ExecutorError, OSError):
        if not submissions.read_submissions(run):
            forget_run(run)
        raise


def _register(run: Run, say: Say) -> None:
    try:
        register_run(run)
    except BusyError as error:
        say(f"the database does not know of this run yet, gather will tell it: {error}")


def _tell_plan(agreed: RunSpec, draft: RunDraft, scope: Selection, say: Say) -> None:
    counts, sizes = draft.counts, draft.sizes
    for note in draft.notes:
        say(note)
    if draft.since:
        say(f"posts preprocessed since the watermark, {draft.since:%Y-%m-%d %H:%M:%S}")
    outside = ""
    if scope.only_labelled_by:
        say("the watermark stays where it is: a plain submit goes on from there and takes the rest")
        outside = f"{counts.not_chosen:,} without a label under {scope.only_labelled_by}, "
    say(
        f"{draft.source}: {counted(counts.rows, 'row')}: {outside}"
        f"{counted(counts.duplicates, 'copy', 'copies')} of a uri, "
        f"{counts.excluded:,} labelled or in an unfinished run, {counts.over_limit:,} left out by "
        f"--limit, {counts.posts:,} to label"
    )
    if counts.older:
        late = counted(counts.older, "post")
        say(f"{late} came late, from before the watermark: --backfill takes them")
    if draft.unlabelled_before:
        say(
            f"{counted(draft.unlabelled_before, 'row')} more than labels from before that: "
            "copies, or posts that came late; python -m hpc.audit tells, --backfill takes them"
        )
    if not counts.posts:
        say(f"nothing to label under the name {agreed.config.name}")
        return
    planned = plan_arrays(
        [ShardGroup(shards=tuple(range(sizes.count)), ask=ResourceRequest())],
        array_size=agreed.array_size,
        max_parallel=agreed.config.cluster.max_parallel,
    )
    at_once, largest = planned[0].parallel_tasks, sizes.rows + bool(sizes.larger)
    say(
        f"{counted(sizes.count, 'shard')} of {counted(largest, 'post')} at most, "
        f"{counted(len(planned), 'array')}, {counted(at_once, 'task')} at once"
    )
    for line in estimate.describe_estimate(
        estimate.estimate_cost(cost_options(agreed.classifier), counts.posts, draft.paid)
    ):
        say(line)


def _tell_unfinished(runs: list[Run], say: Say) -> int:
    """Where the posts are for which nothing was left to label; the exit code of those runs."""
    ends = [(run, look(run, executor_of(run))) for run in runs]
    for run, now in ends:
        say(f"run {run.folder} has posts of this name, and is {now.state}")
        say(describe_next_step(now, is_gathered=is_gathered(run, now.observation)))
    return max((EXIT_CODE[now.state] for _, now in ends), default=0)


def _tell_end(run: Run | None, end: RunStatus | None, say: Printer) -> None:
    if run is None:
        return
    if end is None:
        say(f"next: python -m hpc.supervise {run.folder}, or look: python -m hpc.status")
        return
    show_result(end, say)


def _document(
    agreed: RunSpec, draft: RunDraft, run: Run | None, *, dry_run: bool = False
) -> dict[str, Any]:
    posts = run.manifest.posts if run else draft.counts.posts
    told = estimate.estimate_cost(cost_options(agreed.classifier), posts, draft.paid)
    return {
        "run_id": run.run_id if run else None,
        "run_dir": str(run.folder) if run else None,
        "posts": posts,
        "shards": len(run.manifest.shards) if run else draft.sizes.count,
        "array_jobs": resume.array_jobs(run),
        "dry_run": dry_run,
        "requests": told.requests,
        "quota_minutes": told.minutes,
        "cost_estimate": told.cost,
        "currency": told.currency,
    }


def _given(path: Path, overrides: tuple[str, ...]) -> str:
    """The configuration as it was given, for the run's folder."""
    notes = "".join(f"# --set {override}\n" for override in overrides)
    return notes + path.read_text(encoding="utf-8")


VERB = Verb(
    name="submit",
    example="hpc submit --config configs/quickstart.yaml",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
