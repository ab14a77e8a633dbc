"""Show what a submit would do, from the posts to the batch script, and change nothing."""

from dataclasses import dataclass, replace

from hpc.checks.describe_findings import describe_findings
from hpc.checks.finding import Finding, Level, Part
from hpc.display.dry_run.columns import describe_columns
from hpc.display.dry_run.script import describe_script
from hpc.display.rendered_request import describe_request
from hpc.display.screen import Screen
from hpc.executors.base import Executor, ExecutorError
from hpc.executors.factory import create_executor
from hpc.planning.check_upstream import check_upstream
from hpc.planning.discard import find_discardable
from hpc.planning.measured.describe_canary import describe_plan
from hpc.planning.measured.run_pace import find_canary
from hpc.planning.new_run.draft_run import draft_run
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_checks import Subject, check_cheaply
from hpc.planning.submit_request import SubmitRequest, say_plan
from hpc.reconcile.checks.trust import check_root
from hpc.run.exit_codes import FAILED, WRONG
from pipeline.classifiers.base import RenderedRequest
from pipeline.classifiers.frozen_classifier import render_request
from pipeline.messages.options import AFTER

# `submit` shows these in other lines of its plan.
_IN_THE_PLAN = frozenset({Part.SERVICE_END, Part.LIMITS})
# What a person should see in a plan even if nothing is wrong with it.
_ALWAYS_SHOWN = frozenset({Part.TIME, Part.SCRIPT})
_WRONG = frozenset({Part.RESOURCES})


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPreview:
    """What a submit would do."""

    draft: RunDraft
    waves: int | None
    """In how many waves the run would be submitted; None if no job fits now."""
    first_request: RenderedRequest | None
    """The first request to the classifier's service; None if none would be sent."""
    script: str = ""
    """The batch script of the first array; '' if there is none."""
    findings: tuple[Finding, ...] = ()
    """What the cheap checks say."""

    @property
    def exit_code(self) -> int:
        """Return 2 if the resources are wrong, 1 if the submission would fail for another reason.

        A missing key and a cluster that does not answer are no errors of a plan.
        """
        parts = {each.part for each in self.findings if each.level is Level.ERROR}
        if parts & _WRONG:
            return WRONG
        return FAILED if parts else 0


def preview_run(request: SubmitRequest, screen: Screen) -> RunPreview:
    """Describe what a submit would take and send; change nothing.

    Raises:
        InputError: the source cannot be read, the name's labels do not fit, or others can write to
            the run root.
    """
    spec = request.spec
    screen("dry run: nothing is submitted or written")
    storage = spec.config.storage
    check_root(storage.run_root, trusts_group=storage.trust_group)
    for note in spec.notes:
        screen(note)
    executor = create_executor(spec.config.cluster)
    awaited = _check_upstream(request, executor, screen)
    discardable = find_discardable(spec, screen)
    selection = replace(request.selection, without=discardable, canary=None, after=awaited)
    if canary := request.selection.canary:
        screen(describe_plan(canary, find_canary(spec)))
    draft = draft_run(spec, selection, request.folders, screen)
    say_plan(spec, selection, draft, screen)
    if grace := spec.config.cluster.grace_seconds:
        screen(
            f"a task that ends without an output is retried {grace:g} s later at the earliest "
            "(cluster.grace_seconds)"
        )
    subject = Subject(
        spec=spec,
        executor=executor,
        selection=selection,
        draft=draft,
        spare_jobs=request.spare_jobs,
        missing_key=Level.WARNING,
    )
    waves = subject.described_waves
    for line in waves:
        screen(line)
    first_request = render_request(spec.classifier, draft.first) if draft.first else None
    script = ""
    if first := subject.first_array:
        script = subject.executor.render_script(subject.run, first)
    findings = tuple(map(_for_a_plan, check_cheaply(subject)))
    preview = RunPreview(
        draft=draft,
        waves=subject.waves,
        first_request=first_request,
        script=script,
        findings=findings,
    )
    for line in _describe(request, preview):
        screen(line)
    shown = [
        finding
        for finding in findings
        if finding.part not in _IN_THE_PLAN
        and (finding.level is not Level.OK or finding.part in _ALWAYS_SHOWN)
    ]
    if shown:
        screen.show(*describe_findings(shown))
    return preview


def _check_upstream(request: SubmitRequest, executor: Executor, screen: Screen) -> tuple[str, ...]:
    """Return which jobs the tasks would wait for."""
    jobs, trouble = request.selection.after, request.spec.cluster_trouble
    try:
        if not trouble:
            return check_upstream(jobs, executor, screen)
    except ExecutorError as error:
        trouble = error.brief
    if jobs and trouble:
        screen(f"{AFTER} is not checked: {trouble}")
    return jobs


def _for_a_plan(finding: Finding) -> Finding:
    """Return what a finding means for a plan, which can be shown without a cluster."""
    if finding.part is Part.CLUSTER and finding.level is Level.ERROR:
        return replace(finding, level=Level.WARNING)
    return finding


def _describe(request: SubmitRequest, preview: RunPreview) -> list[str]:
    """Return lines: the columns, the first request and the script."""
    lines: list[str] = []
    if preview.draft.counts.posts:
        lines += describe_columns(request.spec.config.name, request.spec.columns)
    if preview.first_request:
        lines += describe_request(preview.first_request, len(preview.draft.first))
    if preview.script:
        lines += describe_script(preview.script)
    return lines
