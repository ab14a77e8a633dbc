"""Record how fast a task labeled its shard, as a line in the footer of the shard's output.

It lasts as long as the output, while heartbeats and Slurm's accounting do not. Whoever plans the
next run sizes its shards by it.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, ValidationError

from pipeline.config.keys import Section

PACE = "hpc.pace"
"""The key of an output's footer."""

_Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class Pace(Section, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What the process that published a shard was busy with.

    A task may be of a later version than who reads this, so unknown keys are ignored.
    """

    asked: Annotated[int, Meta(ge=1)]
    """Posts that the classifier answered in this process. Copies, unsent posts, and what earlier
    attempts asked about do not count."""
    asking_s: _Seconds
    """Seconds from the first of these posts to the last answer."""
    startup_s: _Seconds
    """Seconds from the start of the process to the first of these posts: reading the shard, and
    starting a server or loading a model."""
    memory_mb: Annotated[float, Meta(ge=0)] | None = None
    """The most resident memory of the task's processes that was seen, in MiB; None if unknown."""


def write_pace(pace: Pace) -> str:
    """Return the text that the footer holds."""
    return msgspec.json.encode(pace).decode()


def read_pace(footer: Mapping[str, str]) -> Pace | None:
    """Return the pace in the texts of a footer; None where there is none, or it is damaged.

    An output counts for its rows alone, so a pace that cannot be read is no error.
    """
    try:
        return msgspec.json.decode(footer[PACE], type=Pace)
    except (KeyError, ValidationError, msgspec.DecodeError, RecursionError):
        return None
