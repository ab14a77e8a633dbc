"""Name the places where a post of a backlog can be."""

from enum import StrEnum


class Place(StrEnum):
    """Where a post of the backlog is. A post is in the first of these that holds."""

    LABELED = "labelled"
    UNLABELABLE = "unlabelable"
    NOT_GATHERED = "not_gathered"
    IN_FLIGHT = "in_flight"
    PLANNED = "planned"
    HANDED_OVER = "handed_over"
    FAILED = "failed"
    BLOCKED = "blocked"
    LOST = "lost"
    UNREADABLE = "unreadable"
    LATE = "late"
    NEW = "new"


WAITING = (
    Place.IN_FLIGHT,
    Place.PLANNED,
    Place.HANDED_OVER,
    Place.FAILED,
    Place.BLOCKED,
    Place.UNREADABLE,
)
"""The places of posts in shards that are not done."""
