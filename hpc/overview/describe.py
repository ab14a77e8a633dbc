"""Show a list of runs."""

from collections.abc import Sequence
from datetime import datetime

from hpc.display.blocks import Block, Line, Table, Tone
from hpc.display.run.status_table import RUN_TONES
from hpc.overview.run_row import Kind, RunRow
from hpc.run.run_state import RunState
from pipeline.text import counted, format_bytes, format_duration

# A run's id is there to be copied. It begins with its time and contains the name.
_SPARE = (5, 4, 0, 3, 2, 1)


def describe_rows(rows: Sequence[RunRow], now: datetime) -> list[Block]:
    """Return a table with a row for each run, the newest last, and a line for each note."""
    table = Table(
        header=("NAME", "STATE", "POSTS DONE", "AGE", "SIZE", "FILES", "RUN"),
        rows=tuple(_cells(row, now) for row in rows),
        right_aligned=frozenset({2, 3, 4, 5}),
        tones=tuple(map(_tone, rows)),
        indent=0,
        spare=_SPARE,
    )
    notes = dict.fromkeys(row.note for row in rows if row.note)
    return [table, *(Line(note, Tone.PENDING) for note in notes)]


def _cells(row: RunRow, now: datetime) -> tuple[str, ...]:
    return (
        row.name or "-",
        row.words,
        _done(row),
        _age(row.created_at, now),
        format_bytes(row.size),
        f"{row.files:,}",
        row.folder,
    )


def _done(row: RunRow) -> str:
    if row.posts is None:
        return "-"
    if row.posts_done is None:
        return f"? of {row.posts:,}"
    if row.posts_done >= row.posts:
        return f"{row.posts:,}"
    return f"{row.posts_done:,} of {row.posts:,}"


def _age(created_at: datetime | None, now: datetime) -> str:
    if created_at is None:
        return "-"
    seconds = max(0.0, (now - created_at).total_seconds())
    return f"{seconds / 86_400:,.0f} d" if seconds >= 172_800 else format_duration(seconds)


def _tone(row: RunRow) -> Tone:
    if row.kind in (Kind.UNREADABLE, Kind.COPY):
        return Tone.BAD
    if row.state is None or row.is_archived:
        return Tone.FAINT
    if row.state is RunState.COMPLETE and row.is_gathered is False:
        return Tone.PENDING
    return RUN_TONES[row.state]


def rows_document(rows: Sequence[RunRow]) -> list[dict[str, object]]:
    """Return what `--json` prints of each run."""
    return [
        {
            "run_id": row.run_id,
            "folder": row.folder,
            "name": row.name or None,
            "kind": str(row.kind),
            "state": None if row.state is None else str(row.state),
            "archived": row.is_archived,
            "gathered": row.is_gathered,
            "posts": row.posts,
            "posts_done": row.posts_done,
            "shards": row.shards,
            "created_at": row.created_at.isoformat() if row.created_at else None,
            "bytes": row.size,
            "files": row.files,
            "note": row.note,
        }
        for row in rows
    ]


def describe_older(count: int) -> str:
    """Return how many runs are not shown."""
    return f"{counted(count, 'older run')} not shown. To list all: hpc ls --all"
