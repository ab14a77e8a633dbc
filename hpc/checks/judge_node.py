"""Judge what a job found on a node, or why it found nothing. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.checks.finding import Finding, Part, error, ok, warning
from hpc.executors.node_jobs import NO_FOLDER, NodeJobState
from hpc.run.model.attempts import Phase
from pipeline.messages.options import PATIENCE
from pipeline.run_files.node_report import NodeReport
from pipeline.text import format_duration

# Heartbeats and leases are compared by the clock, and last for longer than this.
MOST_SKEW_S = 10.0
_MOST_LABELS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeOutcome:
    """What became of a job on a node."""

    root: Path
    """The run root, below which it worked."""
    refused: str = ""
    """Why it was not submitted; '' if it was."""
    job: int = 0
    state: NodeJobState | None = None
    """The last that its executor said; None if it never answered."""
    waited_s: float = 0.0
    """How long it was pending."""
    report: NodeReport | None = None
    """What it found; None if nothing appeared here."""
    log_end: str = ""
    """The last line that it printed."""
    seen_between: tuple[float, float] = (0.0, 0.0)
    """The clock here at the last look without the report, and at the first with it."""
    trouble: str = ""
    """What the executor said when it did not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What a node should be like."""

    version: str
    """The version of this program here."""
    python: str
    """The configured interpreter."""
    late_files_s: float
    """How late files of other machines may appear here."""
    where: str = ""
    """The address of the service; '' without one."""


def judge_node(outcome: NodeOutcome, expected: Expected) -> list[Finding]:
    """Return what the job found, or why there is nothing."""
    report = outcome.report
    if outcome.refused:
        remedy = "correct the section cluster; the check of the script says more"
        return [error(Part.NODE, f"the job was not submitted: {outcome.refused}", remedy)]
    if report is None:
        return [_judge_nothing(outcome, expected)]
    ran = ok(
        Part.NODE,
        f"job {outcome.job} ran on {report.node}, which shares {outcome.root}: its report is here",
    )
    findings = [ran, *_judge_python(report, expected)]
    if report.stage:
        findings.append(
            error(
                Part.NODE,
                f"the job ended while it looked at: {report.stage}{_last_line(outcome)}",
                "run the same command again; if it ends there again, look at that on the node",
            )
        )
    if report.missing:
        return findings
    return [
        *findings,
        *_judge_folder(report, outcome, expected),
        *(_judge_lack(lack) for lack in report.lacks),
        *_judge_gpu(report),
        *_judge_service(report, expected),
    ]


def _judge_nothing(outcome: NodeOutcome, expected: Expected) -> Finding:
    """Return why no report came: the job never started, or ended too early, or wrote elsewhere."""
    state = outcome.state
    if state is None:
        return error(
            Part.NODE,
            f"Slurm accepted job {outcome.job}, but does not report its state: {outcome.trouble}",
            "try again later",
        )
    if state.phase in (Phase.WAITING, Phase.HELD, Phase.UNKNOWN):
        reason = state.reason or "Slurm gives no reason"
        return error(
            Part.NODE,
            f"job {outcome.job} did not start in {format_duration(outcome.waited_s)}: {reason}. "
            "It is canceled",
            state.advice
            or f"wait longer with {PATIENCE.usage('SECONDS')}, or choose another partition (sinfo)",
        )
    on = f" on {state.node}" if state.node else ""
    if state.exit_code == NO_FOLDER:
        return error(
            Part.NODE,
            f"job {outcome.job} ran{on} and does not see {outcome.root}",
            "set storage.run_root to a folder on a file system that login node and nodes share",
        )
    if outcome.log_end:
        return error(
            Part.NODE,
            f"job {outcome.job} ended{on} as {state.words}: {outcome.log_end}",
            f"correct cluster.python ({expected.python}) and cluster.setup",
        )
    return error(
        Part.NODE,
        f"job {outcome.job} ended{on} as {state.words}, and left nothing in {outcome.root}",
        "check that the nodes see this folder and can write to it (storage.run_root)",
    )


def _judge_python(report: NodeReport, expected: Expected) -> list[Finding]:
    python = f"Python {report.python_version} ({report.python}) on {report.node}"
    if report.missing:
        return [
            error(
                Part.NODE,
                f"{python} cannot run a task: {report.missing}",
                "install this program for that Python, or correct cluster.python and cluster.setup",
            )
        ]
    if report.version and report.version != expected.version:
        return [
            warning(
                Part.NODE,
                f"{python} has version {report.version} of this program, and this is "
                f"{expected.version}",
                "install the same version for cluster.python",
            )
        ]
    return (
        [ok(Part.NODE, f"{python} imports everything that a task needs")]
        if (report.version)
        else []
    )


def _judge_folder(report: NodeReport, outcome: NodeOutcome, expected: Expected) -> list[Finding]:
    findings = []
    if report.lock == "held":
        findings.append(ok(Part.NODE, "file locks of this machine hold on the node too"))
    elif report.lock:
        said = "does not see locks of this machine" if report.lock == "free" else report.lock
        findings.append(
            warning(
                Part.NODE,
                f"file locks in {outcome.root}: the node {said}",
                "run hpc submit, supervise and resubmit on one login node only, or set "
                "storage.run_root to a file system with locks",
            )
        )
    skew = clock_skew(report.written_at, outcome.seen_between, expected.late_files_s)
    if abs(skew) > MOST_SKEW_S:
        direction = "ahead of" if skew > 0 else "behind"
        findings.append(
            warning(
                Part.NODE,
                f"the node's clock is at least {format_duration(abs(skew))} {direction} this one",
                "ask the site's support to synchronize the clocks: heartbeats are compared by them",
            )
        )
    elif outcome.seen_between != (0.0, 0.0):
        findings.append(ok(Part.NODE, "the clocks of the node and of this machine agree"))
    return findings


def clock_skew(written_at: float, seen_between: Sequence[float], late_s: float) -> float:
    """Return by how many seconds a node's clock is at least ahead; negative if it is behind.

    Args:
        written_at: the node's clock when it wrote a file.
        seen_between: the clock here at the last look without that file, and at the first with it.
        late_s: how late a file may appear here.
    """
    earliest, latest = seen_between[0] - late_s, seen_between[1]
    if written_at > latest:
        return written_at - latest
    return min(0.0, written_at - earliest)


def _judge_lack(lack: str) -> Finding:
    return error(
        Part.NODE,
        f"the node lacks what a task needs: {lack}",
        "put it where the nodes see it; a key can come from classifier.api_key_file",
    )


def _judge_gpu(report: NodeReport) -> list[Finding]:
    if report.gpu_problem:
        return [
            error(
                Part.NODE,
                f"cluster.gres asks for a GPU, and the job sees none: {report.gpu_problem}",
                "correct cluster.gres (gpu:1), or choose another partition or node",
            )
        ]
    return [ok(Part.NODE, f"GPU: {'; '.join(report.gpus)}")] if report.gpus else []


def _judge_service(report: NodeReport, expected: Expected) -> list[Finding]:
    """Say what became of the post, or of the connection, from the node."""
    remedy = (
        "ask the site whether its nodes reach the internet, or set a proxy in cluster.setup "
        "(docs/how-to/reach-a-service.md)"
    )
    by = f" by {expected.where}" if expected.where else ""
    took = format_duration(report.seconds)
    if report.error:
        return [error(Part.NODE, f"from the node: {report.error}", remedy)]
    if report.labels:
        values = list(report.labels.items())
        shown = ", ".join(f"{name} {_shorten(value)}" for name, value in values[:_MOST_LABELS])
        return [ok(Part.NODE, f"from the node, one post was labeled{by} in {took}: {shown}")]
    if report.reason:
        return [
            warning(
                Part.NODE,
                f"from the node, one post was answered{by}, without a label: {report.reason}",
                "try more posts with hpc try",
            )
        ]
    if report.reached == "yes":
        return [ok(Part.NODE, f"the node reaches {expected.where}")]
    return (
        [error(Part.NODE, f"the node does not reach {report.reached}", remedy)]
        if (report.reached)
        else []
    )


def _shorten(value: object) -> str:
    return f"{value:z.3g}" if isinstance(value, float) else str(value)


def _last_line(outcome: NodeOutcome) -> str:
    return f" ({outcome.log_end})" if outcome.log_end else ""
