"""Check everything that can be known before anything is spent: `hpc check`.

Every check runs even if another one fails, as far as it does not need what failed.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from hpc.checks.database import judge_database, observe_database
from hpc.checks.finding import Finding, Part, error, ok, warning
from hpc.checks.judge_node import Expected, judge_node
from hpc.checks.node_job import NodePatience, look_at_node
from hpc.checks.notify import check_notify
from hpc.checks.request import (
    SAMPLE,
    judge_request,
    observe_request,
    service_address,
)
from hpc.config import run_config
from hpc.config.run_config import Config
from hpc.display.screen import Screen
from hpc.display.system_error import describe_error
from hpc.executors.factory import create_executor
from hpc.planning.discard import find_discardable
from hpc.planning.fingerprint import OtherSetupError
from hpc.planning.new_run.describe_draft import describe_sizes
from hpc.planning.new_run.draft_run import draft_run
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.other_folder import find_other_folder
from hpc.planning.run_checks import Subject, check_cheaply
from hpc.planning.run_spec import RunSpec, Selection, validate
from pipeline import __version__
from pipeline.backlog import sources
from pipeline.backlog.catalog import LacksPostsError
from pipeline.backlog.left_out import describe_left_out
from pipeline.backlog.sources import Source
from pipeline.classifiers import frozen_classifier, registry
from pipeline.config.check import Problems, SeveralProblems
from pipeline.config.sections import SOURCE_COLUMNS
from pipeline.errors import InputError, RunError
from pipeline.messages.options import CONFIG_FILE, NO_REQUEST
from pipeline.run_files.node_report import NodeOrder
from pipeline.service.address import host_of, is_loopback, port_of
from pipeline.text import counted, listed

_INVALID = "correct the file; hpc schema lists every key. The other checks need a valid one"
_WRONG = "correct the section classifier; the checks that need no classifier follow"
_NOT_SENT = warning(
    Part.REQUEST, "not sent, because the section classifier has an error", "correct that first"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRequest:
    """What a user asked `hpc check` to do."""

    config: Path
    overrides: tuple[str, ...] = ()
    asks_service: bool = True
    """Whether a real request may be sent."""
    looks_at_node: bool = False
    """Whether to run a job on a node."""
    patience_s: float = 300.0
    """How long that job may wait for its start."""


def check_run(request: CheckRequest, screen: Screen) -> tuple[Finding, ...]:
    """Return what all checks find, in the order of their parts.

    Nothing stays on the disk, and no run is made.

    Raises:
        KeyboardInterrupt: somebody has interrupted it. A job on a node is canceled.
    """
    try:
        config = run_config.load(request.config, request.overrides)
        problems = config.new_problems()
        spec = validate(config, os.environ, is_preview=True, problems=problems)
    except InputError as problem:
        missing = f"name another file with {CONFIG_FILE}, or write one with hpc init"
        remedy = _INVALID if request.config.exists() else missing
        return tuple(_judge_configuration(problem, remedy))
    registry.skip_unused_pandas([config.classifier.kind])
    findings = _judge_classifier(problems) or [_describe_configuration(request, spec)]
    source, found = _check_source(request, spec)
    findings += found
    storage = spec.config.storage
    database = observe_database(storage.database, spec.config.name)
    findings += judge_database(database) + _check_folder(config)
    selection = Selection()
    draft: RunDraft | None = None
    if source is not None and not (database.problem or database.is_held):
        selection, draft, found = _check_posts(request, spec, screen)
        findings += found
    subject = _subject(request, spec, selection, draft)
    findings += check_cheaply(subject)
    findings += check_notify(spec.config.notify, storage.run_root.parent)
    if problems.is_wrong:
        request = replace(request, asks_service=False)
        findings.append(_NOT_SENT)
    else:
        findings += _check_request(request, spec, screen)
    findings += _check_node(request, subject, screen)
    order = list(Part)
    return tuple(sorted(findings, key=lambda each: order.index(each.part)))


def _judge_configuration(problem: InputError, remedy: str) -> list[Finding]:
    """Return a finding for each thing that is wrong with the configuration."""
    wrong = problem.problems if isinstance(problem, SeveralProblems) else (problem,)
    return [
        replace(error(Part.CONFIGURATION, str(each), remedy if number == 0 else ""), is_input=True)
        for number, each in enumerate(wrong)
    ]


def _judge_classifier(problems: Problems) -> list[Finding]:
    """Return a finding for each thing that is wrong with the classifier."""
    wrong = [problem for problem in problems.found if not problem.is_lack]
    return [
        replace(error(Part.CONFIGURATION, str(problem), remedy), is_input=True)
        for problem, remedy in zip(wrong, [_WRONG, *[""] * len(wrong)], strict=False)
    ]


def _describe_configuration(request: CheckRequest, spec: RunSpec) -> Finding:
    config = spec.config
    notes = "".join(f"; {note}" for note in spec.notes)
    return ok(
        Part.CONFIGURATION,
        f"{request.config}: name {config.name}, classifier {config.classifier.kind}, "
        f"executor {spec.executor}{notes}",
    )


def _check_folder(config: Config) -> list[Finding]:
    """Return an error if the name's runs and labels are beside the configuration and not here."""
    try:
        found = find_other_folder(config)
    except RunError as problem:
        return [error(Part.DATABASE, describe_error(problem), "make it readable")]
    if found is None:
        return []
    return [_input_error(Part.DATABASE, found.problem, found.remedy("hpc check --config"))]


def _folders(request: CheckRequest) -> tuple[Path, ...]:
    return request.config.parent.absolute(), Path.cwd()


def _check_source(request: CheckRequest, spec: RunSpec) -> tuple[Source | None, list[Finding]]:
    """Return the source, and what is to say about it; None if it cannot be read."""
    config = spec.config
    try:
        source = sources.find_source(
            config.backlog, _folders(request), database=config.storage.database
        )
    except InputError as problem:
        return None, [_input_error(Part.SOURCE, str(problem), "correct the section backlog")]
    except (RunError, OSError) as problem:
        return None, [error(Part.SOURCE, describe_error(problem), "make it readable")]
    findings = [ok(Part.SOURCE, f"{source}: {counted(len(source.files), 'file')}")]
    findings += [
        warning(Part.SOURCE, line, "check whether it belongs to the posts")
        for line in describe_left_out(source.left_out)
    ]
    return source, findings


def _check_posts(
    request: CheckRequest, spec: RunSpec, screen: Screen
) -> tuple[Selection, RunDraft | None, list[Finding]]:
    """Return what a submit would take; None if nobody can tell."""
    selection = Selection()
    try:
        selection = replace(selection, without=find_discardable(spec, lambda message: None))
        draft = draft_run(spec, selection, _folders(request), screen)
    except InputError as problem:
        remedy = _remedy_for_posts(problem, spec)
        return selection, None, [_input_error(Part.POSTS, str(problem), remedy)]
    except (RunError, OSError, MemoryError) as problem:
        return (
            selection,
            None,
            [error(Part.POSTS, describe_error(problem), "correct that, and check again")],
        )
    return selection, draft, _judge_posts(spec.config.to_paste, draft)


def _remedy_for_posts(problem: InputError, spec: RunSpec) -> str:
    """Return what to do where posts cannot be chosen; most messages name the key themselves."""
    if isinstance(problem, OtherSetupError):
        again = f"hpc submit --config {spec.config.to_paste} --supersede"
        return f"give it another name, or label those posts again: {again}"
    columns = spec.config.backlog.columns
    if isinstance(problem, LacksPostsError) and problem.column:
        configured = zip(SOURCE_COLUMNS, columns.values(), strict=True)
        keys = [f"backlog.columns.{key}" for key, name in configured if name == problem.column]
        likely = problem.nearest_column
        return f"set {listed(keys)} to {likely}" if likely else f"correct {listed(keys)}"
    return "correct the configuration or the source as the message says"


def _judge_posts(config: str, draft: RunDraft) -> list[Finding]:
    counts = draft.counts
    findings = []
    if counts.older:
        findings.append(
            warning(
                Part.POSTS,
                f"{counted(counts.older, 'post')} from before the watermark have no label",
                f"hpc submit --config {config} --backfill labels them too",
            )
        )
    if not counts.posts:
        message = f"nothing to label among {counted(counts.rows + counts.unread, 'row')}"
        remedy = f"wait for new posts, or look where they are: hpc audit --config {config}"
        return [warning(Part.POSTS, message, remedy), *findings]
    if not draft.posts_to_send:
        message = f"none of {counted(counts.posts, 'post')} has a text to send"
        return [error(Part.POSTS, message, "correct backlog.columns"), *findings]
    message = f"{counts.posts:,} to label, in {describe_sizes(draft)}"
    return [ok(Part.POSTS, message), *findings]


def _subject(
    request: CheckRequest,
    spec: RunSpec,
    selection: Selection,
    draft: RunDraft | None,
) -> Subject:
    return Subject(
        spec=spec,
        executor=create_executor(spec.config.cluster),
        selection=selection,
        draft=draft,
        is_node_asked=request.looks_at_node,
    )


def _check_request(request: CheckRequest, spec: RunSpec, screen: Screen) -> list[Finding]:
    lacks_key = bool(spec.lacks)
    where = service_address(spec.classifier)
    if request.asks_service and where and not lacks_key:
        cost = "" if is_loopback(where) else ", which may cost a fraction of a cent"
        screen(f"labeling one sentence by {where}{cost} ({NO_REQUEST} skips it)")
    with screen.awaiting(f"waiting for {where or 'the classifier'}"):
        seen = observe_request(
            spec.classifier,
            SAMPLE,
            is_wanted=request.asks_service,
            lacks_key=lacks_key,
            runs_here=create_executor(spec.config.cluster).node_jobs() is None,
        )
    return judge_request(seen)


def _check_node(request: CheckRequest, subject: Subject, screen: Screen) -> list[Finding]:
    if not request.looks_at_node:
        return []
    spec, jobs = subject.spec, subject.executor.node_jobs()
    if jobs is None:
        return [ok(Part.NODE, "there is no node: the tasks run on this machine")]
    if spec.cluster_trouble:
        remedy = "run it again once Slurm answers"
        return [error(Part.NODE, "no job was submitted: Slurm does not answer", remedy)]
    cluster, grace = spec.config.cluster, spec.config.cluster.grace_seconds
    where = service_address(spec.classifier)
    order = _order_for_node(request, spec, where)
    if order.text and where:
        screen(f"the job on the node labels one sentence by {where} too")
    try:
        outcome = look_at_node(
            jobs,
            cluster,
            spec.config.storage.run_root,
            order,
            NodePatience(start_s=request.patience_s, late_files_s=grace),
            screen,
        )
    except OSError as problem:
        return [error(Part.NODE, describe_error(problem), "correct storage.run_root")]
    expected = Expected(
        version=__version__, python=cluster.resources.python, late_files_s=grace, where=where
    )
    return judge_node(outcome, expected)


def _order_for_node(request: CheckRequest, spec: RunSpec, where: str) -> NodeOrder:
    asks = (
        request.asks_service
        and not spec.lacks
        and not frozen_classifier.starts_slowly(spec.classifier)
    )
    gres = f"{spec.config.cluster.resources.gres} {' '.join(spec.config.cluster.resources.extra)}"
    return NodeOrder(
        classifier=spec.classifier,
        text=SAMPLE.text if asks else "",
        wants_gpu="gpu" in gres,
        host=host_of(where) if where else "",
        port=port_of(where) if where else 0,
    )


def _input_error(part: Part, message: str, remedy: str) -> Finding:
    return replace(error(part, message, remedy), is_input=True)
