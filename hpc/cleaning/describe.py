"""Say what a cleaning would do, or has done."""

from collections.abc import Mapping, Sequence

from hpc.cleaning.plan_cleaning import INODES_LEFT, Decision, RunCleaning
from hpc.display.blocks import Block, Line, Table, Tone
from pipeline.text import counted, format_bytes

_WORDS = {
    Decision.ARCHIVE: "archive",
    Decision.FINISH: "archived already: remove the files that the archive has",
    Decision.ARCHIVED: "archived already",
    Decision.KEEP: "keep",
}
_TONES = {
    Decision.ARCHIVE: Tone.GOOD,
    Decision.FINISH: Tone.PENDING,
    Decision.ARCHIVED: Tone.FAINT,
    Decision.KEEP: Tone.PLAIN,
}


def describe_plan(plans: Sequence[RunCleaning]) -> list[Block]:
    """Return a table of what is planned for each run, and what that frees."""
    if not plans:
        return [Line("no run to clean")]
    rows = tuple(
        (plan.run.run_id, f"{plan.inodes:,}", format_bytes(plan.size), _outcome(plan))
        for plan in plans
    )
    table = Table(
        header=("RUN", "FILES", "SIZE", "PLAN"),
        rows=rows,
        right_aligned=frozenset({1, 2}),
        tones=tuple(_TONES[plan.decision] for plan in plans),
    )
    return [table, Line(""), Line(_total(plans))]


def _outcome(plan: RunCleaning) -> str:
    words = _WORDS[plan.decision]
    return f"{words}: {plan.reason}" if plan.reason else words


def _total(plans: Sequence[RunCleaning]) -> str:
    chosen = [plan for plan in plans if plan.inodes_to_go]
    if not chosen and any(plan.is_unreadable for plan in plans):
        return "nothing can be archived now: runs or their database cannot be read"
    if not chosen:
        return "nothing to clean: no run here is complete, gathered and not archived yet"
    inodes = sum(plan.inodes for plan in chosen)
    size = format_bytes(sum(plan.size for plan in chosen))
    return (
        f"{counted(len(chosen), 'run')} to archive: {inodes:,} files and folders ({size}) become "
        f"{len(chosen) * INODES_LEFT:,}. Every file stays readable in the archive of its run"
    )


def plan_document(plans: Sequence[RunCleaning], failures: Mapping[str, str]) -> dict[str, object]:
    """Return what `--json` prints.

    Args:
        plans: what was planned.
        failures: by run id, why a run could not be cleaned.
    """
    chosen = [plan for plan in plans if plan.inodes_to_go]
    return {
        "runs": [
            {
                "run_id": plan.run.run_id,
                "run_dir": str(plan.run.folder),
                "decision": str(plan.decision),
                "reason": failures.get(plan.run.run_id, plan.reason),
                "bytes": plan.size,
                "inodes": plan.inodes,
                "inodes_to_go": plan.inodes_to_go,
            }
            for plan in plans
        ],
        "bytes": sum(plan.size for plan in chosen),
        "inodes_to_go": sum(plan.inodes_to_go for plan in chosen),
    }
