"""Submit the posts that have no label yet as a new run, or describe what that would do."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.overrides import Overrides, override_texts
from hpc.api.call.place import PathText
from hpc.api.call.ranges import check_least, check_seed
from hpc.api.call.surroundings import library_call
from hpc.config import run_config
from hpc.config.recorded_settings import GIVEN_OVERRIDE
from hpc.display.interruption import on_interruption_say
from hpc.display.screen import Screen
from hpc.planning.estimate import CostEstimate, estimate_cost
from hpc.planning.handed_over.plan_only import check_plan_only, plan_run
from hpc.planning.measured.submit_canary import CanarySubmit, submit_after_canary
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.other_folder import reject_other_folder
from hpc.planning.preview_run import RunPreview, preview_run
from hpc.planning.run_spec import RunSpec, Selection, validate
from hpc.planning.submit_request import SubmitRequest
from hpc.planning.submit_run import submit_run
from hpc.run.model.run import Run, Say
from hpc.run.run_state import RunStatus
from hpc.run.submissions import read_submissions
from hpc.runs.left_out import report_left_out
from pipeline.errors import InputError
from pipeline.messages.options import (
    CANARY,
    DRAW_SIZE,
    LIMIT,
    ONLY_LABELED_BY,
    SAMPLE_NAME,
    SEED,
    WHERE,
)
from pipeline.system import ownership

ALL_UNLABELED = Selection()
"""The posts that `hpc submit` takes without options: all that have no label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitResult:
    """What a submit did, or would do."""

    run: Run | None = field(repr=False)
    """The new run, or else the newest run that was resumed; None if there is neither."""
    run_id: str | None
    """Its id."""
    run_dir: Path | None = field(repr=False)
    """Its folder."""
    posts: int
    """How many posts it has, or would have."""
    shards: int
    """How many shards these are in."""
    array_jobs: tuple[int, ...] = ()
    """The ids of its Slurm arrays."""
    dry_run: bool = False
    """Whether nothing was submitted or written."""
    exit_code: int = 0
    """What `hpc submit` exits with: 0 done, 1 a person is needed, 3 still under way."""
    copies: int = field(repr=False)
    """How many posts get the answer to another post with the same text."""
    estimate: CostEstimate = field(repr=False)
    """Requests, minutes and money that the posts will take, as far as that is known."""
    requests_saved: int | None = field(repr=False)
    """How many requests the copies save; None if it is not known."""
    spec: RunSpec = field(repr=False)
    """The configuration, checked."""
    draft: RunDraft = field(repr=False)
    """How the posts were chosen."""
    preview: RunPreview | None = field(default=None, repr=False)
    """What a dry run found out beside that."""
    end: RunStatus | None = field(default=None, repr=False)
    """The last look at the run, if this waited for its end."""
    canary: CanarySubmit | None = field(default=None, repr=False)
    """What came of the canary, if there was to be one."""


@check_argument_types
def submit(
    config: PathText,
    *,
    selection: Selection = ALL_UNLABELED,
    overrides: Overrides = (),
    wait: bool = False,
    caretaker: bool = False,
    say: Say | None = None,
) -> SubmitResult:
    """Submit the selected posts as a new run, and resume the unfinished runs of the name.

    With `executor: slurm`, this returns as soon as the arrays are submitted. With
    `executor: local`, the tasks run inside this call, which returns when they have ended.

    Args:
        config: the configuration, a YAML file.
        selection: which posts; by default, all without a label.
        overrides: values by the path of their key, such as `{"cluster.time": "2:00:00"}`.
        wait: supervise the run until it is complete or needs a person.
        caretaker: add a small Slurm job that supervises the run.
        say: receives each message.

    Raises:
        InputError: the configuration, the source or the selection is wrong. Nothing was submitted.
        BusyError: another submit is planning under the same run root.
        RunError: Slurm rejected the run or does not answer, or the database cannot be used.
        OSError: the disk is full, or a folder is closed to this user.
    """
    if wait and caretaker:
        raise InputError("wait and caretaker are both about supervising the run: choose one")
    screen = screen_of(say)
    with library_call():
        request = _request(config, selection, overrides, screen)
        request = replace(request, wait=wait, caretaker=caretaker)
        check_plan_only(request)
        report_left_out(request.spec.config.storage.run_root, screen)
        after = submit_after_canary(request, screen) if selection.canary else None
        result = after.result if after else submit_run(request, screen)
        described = _describe(
            request.spec, result.draft, result.run, exit_code=result.exit_code, end=result.end
        )
        return replace(described, canary=after)


@check_argument_types
def plan(
    config: PathText,
    *,
    selection: Selection = ALL_UNLABELED,
    overrides: Overrides = (),
    say: Say | None = None,
) -> SubmitResult:
    """Freeze the selected posts as a run that another engine labels, and submit nothing.

    The run's folder has a task list for the engine, whose answers `adopt` takes.

    Args:
        config: the configuration, a YAML file, with `classifier.type: external`.
        selection: which posts; by default, all without a label.
        overrides: values by the path of their key.
        say: receives each message.

    Raises:
        InputError: the configuration, the source or the selection is wrong.
        BusyError: another submit is planning under the same run root.
        RunError: the database cannot be used.
        OSError: the disk is full, or a folder is closed to this user.
    """
    screen = screen_of(say)
    with library_call():
        request = _request(config, selection, overrides, screen)
        request = replace(request, plan_only=True)
        check_plan_only(request)
        report_left_out(request.spec.config.storage.run_root, screen)
        result = plan_run(request, screen)
        return _describe(request.spec, result.draft, result.run, exit_code=result.exit_code)


@check_argument_types
def preview(
    config: PathText,
    *,
    selection: Selection = ALL_UNLABELED,
    overrides: Overrides = (),
    caretaker: bool = False,
    plan_only: bool = False,
    say: Say | None = None,
) -> SubmitResult:
    """Return what `submit` would do. Nothing is submitted or written.

    Args:
        config: the configuration, a YAML file.
        selection: which posts; by default, all without a label.
        overrides: values by the path of their key.
        caretaker: count the jobs of a caretaker as well.
        plan_only: describe what another engine would be handed.
        say: receives each message, such as the plan in words.

    Raises:
        InputError: the configuration, the source or the selection is wrong.
        RunError: the database cannot be used.
    """
    screen = screen_of(say)
    with (
        library_call(),
        on_interruption_say("interrupted; nothing was submitted, and nothing was written"),
    ):
        request = _request(config, selection, overrides, screen, is_preview=True)
        request = replace(request, caretaker=caretaker, plan_only=plan_only)
        check_plan_only(request)
        report_left_out(request.spec.config.storage.run_root, screen)
        shown = preview_run(request, screen)
        return _describe(request.spec, shown.draft, None, exit_code=shown.exit_code, preview=shown)


def _request(
    config: PathText,
    selection: Selection,
    overrides: Overrides,
    screen: Screen,
    *,
    is_preview: bool = False,
) -> SubmitRequest:
    path = Path(config)
    texts = override_texts(overrides)
    _check_selection(selection)
    loaded = run_config.load(path, texts)
    reject_other_folder(loaded)
    spec = validate(loaded, os.environ, is_preview=is_preview)
    if not spec.config.storage.trust_group:
        ownership.close_to_group()
    notes = "".join(f"{GIVEN_OVERRIDE}{text}\n" for text in texts)
    return SubmitRequest(
        spec=spec,
        selection=selection,
        folders=(path.parent.absolute(), Path.cwd()),
        config_text=notes + path.read_text(encoding="utf-8"),
    )


def _check_selection(selection: Selection) -> None:
    """Raise InputError if two parts of a selection exclude each other, or one lacks another."""
    check_least(CANARY, selection.canary.posts if selection.canary else None, 1)
    check_least(LIMIT, selection.limit, 1)
    if selection.sample:
        check_least(DRAW_SIZE, selection.sample.size, 1)
        check_seed(SEED, selection.sample.seed)
    if selection.limit is not None and selection.sample:
        raise InputError("limit takes the oldest posts, and sample random ones: choose one")
    if selection.limit is not None and selection.sample_name:
        raise InputError(f"{LIMIT} takes the oldest posts, and {SAMPLE_NAME} a sample: choose one")
    if selection.supersede and selection.retry_reason:
        raise InputError("supersede and retry_reason choose different posts: choose one")
    if selection.where and not selection.only_labeled_by:
        raise InputError(
            f"{WHERE} is about the labels of another name: add {ONLY_LABELED_BY.usage('NAME')}"
        )


def _describe(
    spec: RunSpec,
    draft: RunDraft,
    run: Run | None,
    *,
    exit_code: int = 0,
    end: RunStatus | None = None,
    preview: RunPreview | None = None,
) -> SubmitResult:
    submissions = read_submissions(run) if run else ()
    posts = run.manifest.posts if run else draft.counts.posts
    sent = posts - sum(each.posts for each in draft.unsent)
    copies = sum(shard.copies for shard in run.manifest.shards) if run else draft.repeated.copied
    estimate = estimate_cost(spec.cost_options, sent - copies, draft.paid)
    of_all = estimate_cost(spec.cost_options, sent, draft.paid).requests
    return SubmitResult(
        run=run,
        run_id=run.run_id if run else None,
        run_dir=run.folder if run else None,
        posts=posts,
        shards=len(run.manifest.shards) if run else draft.sizes.count,
        array_jobs=tuple(
            each.array_job_id for each in submissions if each.array_job_id is not None
        ),
        dry_run=preview is not None,
        exit_code=exit_code,
        copies=copies,
        estimate=estimate,
        requests_saved=None if estimate.requests is None else (of_all or 0) - estimate.requests,
        spec=spec,
        draft=draft,
        preview=preview,
        end=end,
    )
