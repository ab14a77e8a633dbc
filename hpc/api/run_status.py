"""Look at a run, and list the runs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.choose_run import RunChoice, find_run
from hpc.api.call.place import HERE, Place
from hpc.api.call.surroundings import library_call
from hpc.database.gathered_shards import is_gathered
from hpc.display.blocks import Line
from hpc.display.html.render import to_html
from hpc.display.next_step import describe_next_step
from hpc.display.run.status_table import describe_status
from hpc.efficiency.run_efficiency import RunEfficiency, run_efficiency
from hpc.executors.factory import executor_of
from hpc.planning import late_posts
from hpc.planning.late_posts import LatePosts
from hpc.reconcile.look import look
from hpc.run.model.run import Run, Say
from hpc.run.model.shards import State
from hpc.run.run_folder import load
from hpc.run.run_state import RunState, RunStatus, posts_done
from hpc.runs import find_runs
from hpc.runs.left_out import report_left_out
from pipeline.errors import Cause, InputError, RunError


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardStatus:
    """How one shard is."""

    index: int
    """Its number, which is also its index in every Slurm array."""
    state: State
    """Its state."""
    cause: Cause | None
    """Why it is not done; None if nothing is wrong."""
    posts: int
    """How many posts it has."""
    posts_done: int
    """How many of them have an answer."""
    attempts: int
    """How often it was submitted."""
    array_job_id: int | None
    """The job id of the last attempt's array; None before the first one."""
    message: str
    """What is wrong, or how it is, in words."""
    stalled: bool
    """Whether its task has made no progress for long."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class StatusResult:
    """A run as it was at one moment. A notebook shows it as a table."""

    run: Run
    """The run."""
    state: RunState
    """Its state."""
    posts: int
    """How many posts it has."""
    posts_done: int
    """How many of them have an answer."""
    labeled: int | None
    """How many have a label; None while that is not known."""
    unlabelable: Mapping[str, int]
    """How many have a reason instead, by reason."""
    shards: tuple[ShardStatus, ...]
    """Each shard, by its index."""
    is_gathered: bool
    """Whether the database has every label that is published."""
    next_step: str
    """What to do next, as a command to type, or that nothing is left to do."""
    exit_code: int
    """What `hpc status` exits with: 0 complete, 1 a person is needed, 3 still under way."""
    look: RunStatus
    """All that was observed, as the program itself uses it."""
    late_posts: LatePosts | None = field(default=None)
    """Posts from before the watermark that the last submit saw; None if that is not known."""

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.run.folder

    @property
    def name(self) -> str:
        """The name of its labels."""
        return self.run.manifest.name

    @property
    def observed_at(self) -> datetime:
        """When this was seen (UTC)."""
        return self.look.observation.observed_at

    @property
    def is_complete(self) -> bool:
        """Whether every post has an answer."""
        return self.state is RunState.COMPLETE

    @property
    def is_under_way(self) -> bool:
        """Whether the run may still get somewhere without a command."""
        return self.look.is_under_way

    def shards_by_state(self) -> dict[State, int]:
        """Return how many shards are in each state that occurs."""
        return dict(Counter(shard.state for shard in self.shards))

    def __repr__(self) -> str:
        """Return the run, its state and its progress on one line."""
        shards = ", ".join(f"{count:,} {state}" for state, count in self.shards_by_state().items())
        return (
            f"StatusResult(run_id={self.run_id!r}, state={str(self.state)!r}, "
            f"posts_done={self.posts_done:,} of {self.posts:,}, shards={shards!r})"
        )

    def _repr_html_(self) -> str:
        """Return the table of `hpc status`, for a notebook."""
        return to_html([*describe_status(self.look), Line(""), Line(self.next_step)])


def describe_look(run_status: RunStatus) -> StatusResult:
    """Return a look at a run as the value that callers get."""
    labels = run_status.labels
    gathered = is_gathered(run_status.run, run_status.observation)
    return StatusResult(
        run=run_status.run,
        state=run_status.state,
        posts=run_status.run.manifest.posts,
        posts_done=run_status.posts_done,
        labeled=None if labels.unknown else labels.labeled,
        unlabelable=labels.unlabelable,
        shards=_shards(run_status),
        is_gathered=gathered,
        next_step=describe_next_step(run_status, is_gathered=gathered),
        exit_code=run_status.exit_code,
        look=run_status,
        late_posts=late_posts.recall(run_status.run.folder.parent, run_status.run.manifest.name),
    )


def _shards(run_status: RunStatus) -> tuple[ShardStatus, ...]:
    return tuple(
        ShardStatus(
            index=judgement.index,
            state=judgement.state,
            cause=judgement.cause,
            posts=facts.posts,
            posts_done=posts_done(facts, judgement),
            attempts=len(facts.attempts),
            array_job_id=facts.attempts[-1].array_job_id if facts.attempts else None,
            message=judgement.message,
            stalled=judgement.stalled,
        )
        for facts, judgement in zip(
            run_status.observation.shards, run_status.judgements, strict=True
        )
    )


@check_argument_types
def status(
    run: RunChoice = None,
    *,
    at: Place = HERE,
    say: Say | None = None,
) -> StatusResult:
    """Return how a run is: every shard in one state, with one cause.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        at: where to look for runs, and which database to use instead of the run's own.
        say: receives a message for each folder under the run root that is left out.

    Raises:
        InputError: there is no such run.
        RunError: the run cannot be read.
    """
    with library_call():
        chosen = find_run(run, at=at)
        screen, executor = screen_of(say), executor_of(chosen)
        report_left_out(chosen.folder.parent, screen)
        run_status = look(chosen, executor)
        return describe_look(run_status)


@check_argument_types
def efficiency(run: RunChoice = None, *, at: Place = HERE) -> RunEfficiency:
    """Return what the tasks of a run requested and used, and what the next run should request.

    Every attempt is looked up, those of shards that are done included.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        at: where to look for runs, and which database to use instead of the run's own.

    Raises:
        InputError: there is no such run.
        RunError: the run cannot be read.
    """
    with library_call():
        chosen = find_run(run, at=at)
        executor = executor_of(chosen)
        run_status = look(chosen, executor, include_done=True)
        return run_efficiency(run_status, are_reserved=executor.reserves_resources)


@check_argument_types
def runs(
    name: str | None = None,
    *,
    at: Place = HERE,
    say: Say | None = None,
) -> list[Run]:
    """Return the runs under a run root, oldest first.

    Args:
        name: only the runs of this name.
        at: where to look for runs.
        say: receives a message for each folder that is left out, such as a copy of a run.

    Raises:
        InputError: the configuration cannot be read.
        RunError: the run root cannot be read.
    """
    root, screen = at.find_run_root(), screen_of(say)
    report_left_out(root, screen)
    chosen: list[Run] = []
    for folder in find_runs.all_runs(root):
        try:
            run = load(folder)
        except (InputError, RunError, OSError) as error:
            screen(f"{folder} is left out: {error}")
            continue
        if name is None or run.manifest.name == name:
            chosen.append(run)
    return chosen
