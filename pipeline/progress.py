"""Report how far long work is, to whoever shows it: a terminal, a notebook, or nobody.

Code that may take longer than a second gets a `Progress` as a value, as it gets `say`, and wraps
each part of its work in a step:

    with progress.step("writing shards", total=sizes.count, unit="shard") as step:
        for index in range(sizes.count):
            ...
            step.advance(index + 1)

    with progress.step("reading the source", measure=partial(sql.share_done, connection)):
        connection.execute(...)

Only whoever shows the steps decides when and how they appear. A terminal shows a bar for a step
that takes over a second, and removes it when the step ends. Work that nobody watches costs nothing
more: `NO_PROGRESS` starts no thread and calls no `measure`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Measure = Callable[[], float | None]
"""Returns the share of a step that is done, from 0 to 1; None where that is not known now.

It may be called from another thread, a few times per second, while the step lasts. It is quick and
raises nothing.
"""


class Step(Protocol):
    """A part of long work, which lasts as long as its `with` block."""

    def advance(self, done: int) -> None:
        """Record how many units are done in all. This costs next to nothing, and draws nothing.

        Args:
            done: units done since the step began, 0 to its total. Call it for each file or shard,
                not for each post.
        """


class Progress(Protocol):
    """Shows the steps of long work, which follow one another or lie within one another."""

    def step(
        self, what: str, *, total: int | None = None, unit: str = "", measure: Measure | None = None
    ) -> AbstractContextManager[Step]:
        """Begin a step, which ends with the `with` block, also if an error ends it.

        A step has a `total` that `advance` counts up to, or a `measure`. Without either, it is only
        known to be under way.

        Args:
            what: what is being done, as a person would say it: "writing shards".
            total: how many units there are; None if that is not known.
            unit: the noun for one unit, such as "shard"; its plural has an s.
            measure: returns the share done, for work that cannot call `advance`, such as a query.
        """


class NoProgress:
    """Shows nothing."""

    def step(
        self, what: str, *, total: int | None = None, unit: str = "", measure: Measure | None = None
    ) -> AbstractContextManager[Step]:
        """Return a step that nobody watches."""
        return nullcontext(_Unwatched())


class _Unwatched:
    def advance(self, done: int) -> None:
        """Do nothing."""


NO_PROGRESS: Progress = NoProgress()
"""For work that nobody watches."""
