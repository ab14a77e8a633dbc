"""Say which time a terminal shows, and how often it is drawn again."""

from datetime import datetime

PAUSE_S = 1.0


def local_now() -> datetime:
    """Return the time, in the time zone of this machine."""
    return datetime.now().astimezone()
