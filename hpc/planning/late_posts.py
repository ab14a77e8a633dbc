"""Remember how many late posts the last submit of a name saw, for commands that read no source.

`status` and `supervise` report what is in one small file beside the runs. Every submit that counts
late posts writes it anew, so it says nothing of posts that arrived since.
"""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import Selection
from pipeline import files
from pipeline.config.keys import Section
from pipeline.errors import InputError, UnreadableError
from pipeline.run_files.heartbeat import UtcTime
from pipeline.run_files.json_record import find_record
from pipeline.text import counted


class LatePosts(Section, frozen=True, kw_only=True):
    """The posts of a backlog from before the watermark that no run has."""

    seen_at: UtcTime
    """When a submit counted them."""
    posts: int
    """How many there were among the rows that it read."""
    unread_rows: int = 0
    """How many older rows it did not read."""
    unread_without_label: int = 0
    """How many more these are than the labels from before the watermark: duplicates or late."""


def remember(run_root: Path, name: str, selection: Selection, draft: RunDraft) -> None:
    """Write down the late posts that a submit saw. The caller holds the run root's lock."""
    if selection.chooses or (draft.since is None and draft.counts.over_limit):
        return  # it did not count them
    path = _path(run_root, name)
    if not (draft.counts.rows or draft.counts.unread or path.exists()):
        return  # an empty backlog leaves nothing behind
    late = LatePosts(
        seen_at=datetime.now(UTC),
        posts=draft.counts.older,
        unread_rows=draft.counts.unread,
        unread_without_label=draft.unlabeled_before or 0,
    )
    # Losing it costs only a line in a report; the submit itself has said what it saw.
    with contextlib.suppress(OSError):
        files.write_json(path, late.to_json())


def recall(run_root: Path, name: str) -> LatePosts | None:
    """Return what the last submit of a name saw; None if that is not known."""
    try:
        return find_record(_path(run_root, name), LatePosts)
    except (InputError, UnreadableError):  # as if no submit had looked
        return None


def late_document(late: LatePosts | None) -> dict[str, object]:
    """Return the keys of a JSON document on late posts; null where nothing is known."""
    return {
        "late_posts": late.posts if late else None,
        "late_posts_seen_at": late.seen_at.isoformat() if late else None,
    }


def describe_late(late: LatePosts | None) -> list[str]:
    """Return a line on late posts, if there were any."""
    if late is None or not (late.posts or late.unread_without_label):
        return []
    if late.posts:
        what = f"{counted(late.posts, 'post')} from before the watermark"
    else:
        rows = counted(late.unread_without_label, "older row")
        what = f"at least {rows} (duplicates or late posts)"
    return [
        f"{what} had no label when hpc submit last looked ({late.seen_at:%Y-%m-%d %H:%M} UTC): "
        "hpc submit --config FILE --backfill labels late posts (hpc audit tells them from lost "
        "labels)"
    ]


def _path(run_root: Path, name: str) -> Path:
    return run_root / f".late-posts-{name}.json"
