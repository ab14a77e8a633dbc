"""Freeze a run for an engine that labels it, and submit nothing."""

from contextlib import ExitStack

from hpc.display.interruption import on_interruption_say
from hpc.display.next_step import command
from hpc.display.screen import Screen
from hpc.executors.factory import create_executor
from hpc.locks import run_lock
from hpc.planning import late_posts, resume
from hpc.planning.handed_over.task_list import TASKS
from hpc.planning.new_run.create_run import WhilePlanning, create_run
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_checks import Subject, reject_hopeless
from hpc.planning.submit_request import SubmitRequest, say_plan
from hpc.planning.submit_run import SubmitResult, register_new_run
from hpc.reconcile.checks.trust import check_root
from hpc.run.model.run import Run
from pipeline.errors import InputError
from pipeline.messages.options import AFTER, PLAN_ONLY
from pipeline.run_files.manifest import ANSWERS, EXTERNAL
from pipeline.text import counted

_NOT_PLANNED = "interrupted; no new run was planned. To start again, run the same command"


def check_plan_only(request: SubmitRequest) -> None:
    """Raise InputError unless a run is handed over exactly if another engine labels its posts."""
    kind = request.spec.classifier["type"]
    if not request.plan_only:
        if kind == EXTERNAL:
            raise InputError(
                f"classifier.type: {EXTERNAL}: another engine labels these posts, and no task can: "
                f"use {PLAN_ONLY}, which writes the shards and a task list and submits nothing"
            )
        return
    if kind != EXTERNAL:
        raise InputError(
            f"{PLAN_ONLY} hands the posts to another engine, and classifier.type is {kind}, which "
            f"labels them in tasks. Declare what the engine gives with classifier.type: {EXTERNAL}"
        )
    submits = {
        "wait": request.wait,
        "caretaker": request.caretaker,
        "canary": request.selection.canary is not None,
        str(AFTER): bool(request.selection.after),
    }
    if given := [option for option, is_given in submits.items() if is_given]:
        raise InputError(f"{given[0]} is about tasks, and {PLAN_ONLY} submits none: choose one")


def plan_run(request: SubmitRequest, screen: Screen) -> SubmitResult:
    """Freeze the selected posts as a new run, with a task list for the engine that labels it.

    Raises:
        InputError: the source or the name does not fit.
        BusyError: another submit is planning.
        OSError: the disk is full. Nothing is left behind.
    """
    spec = request.spec
    root = spec.config.storage.run_root
    check_root(root, trusts_group=spec.config.storage.trust_group)
    executor = create_executor(spec.config.cluster)

    def approve(draft: RunDraft) -> None:
        subject = Subject(spec=spec, executor=executor, selection=request.selection, draft=draft)
        reject_hopeless(subject, screen)

    with (
        on_interruption_say(_NOT_PLANNED),
        run_lock.locked(root, f"another submit is planning under {root}: wait for it"),
        ExitStack() as locks,
    ):
        run, draft = create_run(
            spec,
            request.selection,
            request.folders,
            request.config_text,
            meanwhile=WhilePlanning(approve=approve, progress=screen),
        )
        say_plan(spec, request.selection, draft, screen)
        late_posts.remember(root, spec.config.name, request.selection, draft)
        if run is not None:
            with on_interruption_say("\n".join(["interrupted", *_describe(run)])):
                locks.enter_context(run_lock.lock_run(run))
                register_new_run(run, screen)
    if run is not None:
        for line in _describe(run):
            screen(line)
        return SubmitResult(draft=draft, run=run, exit_code=0)
    for unfinished in resume.find_unfinished(spec):
        screen(f"posts of this name are in run {unfinished.folder}, which is not complete")
        screen(f"next: {command('adopt', unfinished)}")
    return SubmitResult(draft=draft, run=None, exit_code=0)


def _describe(run: Run) -> list[str]:
    shards = counted(len(run.manifest.shards), "shard")
    return [
        f"run {run.folder} is planned, and nothing is submitted",
        f"its file {TASKS} lists {shards} for the engine, which writes its answers to {ANSWERS}/",
        f"next, once it has: {command('adopt', run)}",
    ]
