"""Describe what a user asked `hpc submit` to do, and its plan."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hpc.executors.base import CaretakerRole
from hpc.planning.new_run.describe_draft import describe_draft
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import RunSpec, Selection
from hpc.planning.service_end import describe_end, until_end
from hpc.run.model.run import Say


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitRequest:
    """What a user asked `hpc submit` to do."""

    spec: RunSpec
    selection: Selection
    folders: tuple[Path, ...]
    """Where a relative source may start from."""
    config_text: str
    """The configuration as it was given, kept in the run's folder."""
    wait: bool = False
    """Supervise the runs until they end."""
    caretaker: bool = False
    """Submit a job that supervises each run."""
    plan_only: bool = False
    """Write the shards and a task list for another engine, and submit nothing."""
    resumes: bool = True
    """Resume the unfinished runs of the name."""

    @property
    def spare_jobs(self) -> int:
        """Return how many jobs look after the run, which count against limits as well."""
        return len(CaretakerRole) if self.caretaker else 0


def say_plan(spec: RunSpec, selection: Selection, draft: RunDraft, say: Say) -> None:
    """Say which posts a run takes, in which shards, what it costs, and when its service ends."""
    end = until_end(spec.service_end, datetime.now(UTC), spec.cost_options)
    for line in (
        *describe_draft(spec, selection, draft),
        *describe_end(end, draft.posts_to_ask),
    ):
        say(line)
