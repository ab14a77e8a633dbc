"""Read how the tasks of shards ended, and the end of their logs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.choose_run import RunChoice, find_run
from hpc.api.call.place import HERE, Place
from hpc.api.call.ranges import check_least
from hpc.api.call.surroundings import library_call
from hpc.display.blocks import Block, Line
from hpc.display.html.render import to_html
from hpc.display.run.attempts import AttemptLog, AttemptReport, unfinished_shards
from hpc.executors.factory import executor_of
from hpc.reconcile.look import look
from hpc.run.array_indices import format_indices
from hpc.run.model.run import Run, Say
from hpc.run.model.shards import State
from pipeline.errors import Cause, InputError

LINES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardLogs:
    """How the attempts of one shard ended."""

    index: int
    """The shard."""
    state: State
    """Its state."""
    cause: Cause | None
    """Why it is not done; None if nothing is wrong."""
    attempts: tuple[AttemptLog, ...]
    """Its attempts, the last one last; only that one, if no shard was named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogsResult:
    """How tasks ended. A notebook shows it as `hpc logs` prints it."""

    run: Run = field(repr=False)
    """The run."""
    groups: tuple[tuple[int, ...], ...]
    """The shards; those that failed in the same way are one group."""
    report: AttemptReport = field(repr=False)
    """Reads the logs, as the program itself does."""

    @property
    def shards(self) -> tuple[ShardLogs, ...]:
        """Each shard, by its index. Its logs are read when this is asked for."""
        return tuple(self._shard(index) for index in sorted(sum(self.groups, ())))

    def describe(self) -> list[Block]:
        """Return the report as `hpc logs` prints it: the first shard of each group."""
        if not self.groups:
            return [Line(f"run {self.run.run_id} has no failed or blocked shards")]
        blocks: list[Block] = []
        for number, group in enumerate(self.groups):
            blocks += [Line("")] if number else []
            blocks += self.report.describe(group)
        return blocks

    def _shard(self, index: int) -> ShardLogs:
        judgement = self.report.status.judgements[index]
        attempts = self.report.attempts(index)
        return ShardLogs(
            index=index, state=judgement.state, cause=judgement.cause, attempts=attempts
        )

    def _repr_html_(self) -> str:
        """Return the report, for a notebook."""
        return to_html(self.describe())


@check_argument_types
def logs(
    run: RunChoice = None,
    indices: Sequence[int] | None = None,
    *,
    lines: int = LINES,
    at: Place = HERE,
    say: Say | None = None,
) -> LogsResult:
    """Return how the tasks of shards ended, and the end of their logs.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        indices: every attempt of these shards; None: the last attempt of each that failed.
        lines: the most lines to return of a log or a traceback.
        at: where to look for runs.
        say: shows that something is awaited.

    Raises:
        InputError: there is no such run, or it has no such shard.
        RunError: the run cannot be read.
    """
    check_least("lines", lines, 1)
    with library_call():
        chosen = find_run(run, at=at)
        executor = executor_of(chosen)
        # The earlier attempts of shards that are done are looked up only if a shard is named.
        status = look(chosen, executor, include_done=indices is not None)
        groups = unfinished_shards(status) if indices is None else _one_group_each(chosen, indices)
    report = AttemptReport(
        status=status, executor=executor, most_lines=lines, last_only=indices is None
    )
    return LogsResult(run=chosen, groups=tuple(groups), report=report)


def _one_group_each(run: Run, wanted: Sequence[int]) -> list[tuple[int, ...]]:
    """Return a group for each shard. Raises InputError for a shard that the run does not have."""
    count = len(run.manifest.shards)
    if outside := [index for index in wanted if not 0 <= index < count]:
        shown = format_indices(outside) if min(outside) >= 0 else ", ".join(map(str, outside))
        raise InputError(f"there is no shard {shown}: this run has shards 0-{count - 1}")
    return [(index,) for index in wanted]
