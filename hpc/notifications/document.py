"""Write an event of a run as the one JSON document that the command gets."""

import shlex
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from hpc.notifications.notice import Notice
from hpc.run.model.run import Run
from hpc.run.run_state import RunStatus
from pipeline.config.notify_settings import Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """Where a notice comes from."""

    host: str
    """The machine."""
    user: str
    """Whose process it is."""
    time: datetime
    """Now (UTC)."""


def document(
    notice: Notice, run: Run, status: RunStatus | None, sender: Sender
) -> dict[str, object]:
    """Return a notice as the command gets it on stdin.

    Args:
        notice: what happened.
        run: the run.
        status: the run as it is now; None if it cannot be seen.
        sender: where the notice comes from.
    """
    manifest = run.manifest
    counts = Counter(
        (str(shard.state), str(shard.cause) if shard.cause else None)
        for shard in (status.judgements if status else ())
    )
    return {
        "event": str(notice.event),
        "subject": f"{manifest.name}: {_SUBJECTS[notice.event]}",
        "message": notice.message,
        "next": _command(run, notice.next),
        "run_id": run.run_id,
        "name": manifest.name,
        "run_dir": str(run.folder),
        "state": str(status.state) if status else None,
        "posts": manifest.posts,
        "posts_done": status.posts_done if status else None,
        "shards": [
            {"state": state, "cause": cause, "shards": count}
            for (state, cause), count in counts.items()
        ],
        "host": sender.host,
        "user": sender.user,
        "time": sender.time.isoformat(timespec="seconds"),
    }


_SUBJECTS: dict[Event, str] = {
    Event.DONE: "the run is complete",
    Event.NEEDS_PERSON: "the run needs you",
    Event.THROTTLED: "no answers for a while",
}


def _command(run: Run, words: tuple[str, ...]) -> str:
    """Return a command about a run that works from any folder."""
    folder = shlex.quote(str(run.folder.absolute()))
    return f"hpc {' '.join(words)} {folder}" if words else ""
