"""Limit one DuckDB session: its memory, its threads, and where it spills."""

from typing import Annotated

from pipeline.config.keys import Positive, PositiveNumber, Section, Text, key

# A login node's share: the program must not take more of the memory that everybody there uses.
MemoryGb = Annotated[
    PositiveNumber,
    key(
        "Memory that DuckDB may use while posts are planned, gathered, audited, compared or "
        "exported.",
        unit="GB",
        omit_default=True,
    ),
]
Threads = Annotated[Positive, key("Threads that DuckDB may use for that.", omit_default=True)]
TemporaryFolder = Annotated[
    Text | None,
    key(
        "Folder for what does not fit into that memory. It needs room for a copy of the posts.",
        default="beside the run, the database or the file that is written",
        omit_default=True,
    ),
]


class SessionLimits(Section, frozen=True, kw_only=True):
    """The limits of every DuckDB session of a run; by default, a login node's share."""

    memory_gb: MemoryGb = 1.0
    threads: Threads = 2
    temporary_folder: TemporaryFolder = None
    """An absolute path."""


LOGIN_NODE = SessionLimits()
