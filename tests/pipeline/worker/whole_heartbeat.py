"""Read the heartbeat of a task on a full disk, which is written in place (`files.overwrite`)."""

from pathlib import Path

from pipeline.errors import InputError
from pipeline.run_files import heartbeat
from tests.waiting import wait_until


def read_whole_heartbeat(folder: Path, attempt: int) -> heartbeat.Heartbeat | None:
    """Return a heartbeat; whoever reads it while it is written sees half of it, and reads again."""
    beats: list[heartbeat.Heartbeat | None] = []

    def is_whole() -> bool:
        try:
            beats.append(heartbeat.read(folder, attempt))
        except InputError:
            return False
        return True

    wait_until(is_whole, "a heartbeat is whole")
    return beats[-1]
