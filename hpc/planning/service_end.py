"""Compare what a run needs of a quota with what the quota allows until its service ends. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.text import counted
from pipeline.usage import CostOptions

_ADVICE = "see docs/how-to/before-31-december-2026.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceEnd:
    """The announced end of a service, and what its quota allows until then."""

    ends_at: datetime
    """When the service ends, in UTC."""

    has_ended: bool

    requests: int | None
    """How many requests the quota allows until then; None without a quota."""

    posts: int | None
    """How many posts these requests are for."""


def until_end(ends_at: datetime | None, now: datetime, options: CostOptions) -> ServiceEnd | None:
    """Return what a quota allows until a service ends; None if no end is announced.

    Only whole minutes count, because a quota is per minute.

    Args:
        ends_at: when the service ends, with a time zone.
        now: the time now, with a time zone.
        options: what the classifier's options say about its quota.
    """
    if ends_at is None:
        return None
    minutes = max(0, (ends_at - now) // timedelta(minutes=1))
    per_minute = options.requests_per_minute
    requests = posts = None
    if per_minute is not None:
        requests = minutes * max(0, per_minute)
        posts = requests // options.requests_per_post * options.posts_together
    return ServiceEnd(
        ends_at=ends_at,
        has_ended=now > ends_at,
        requests=requests,
        posts=posts,
    )


def describe_end(end: ServiceEnd | None, posts: int) -> list[str]:
    """Return a line on the end of a service, and a warning if a run cannot finish before it.

    Args:
        end: what is known of the end.
        posts: how many posts the run sends.
    """
    if end is None or not posts:
        return []
    moment = f"{end.ends_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if end.has_ended:
        return [f"warning: the service ended on {moment}, so its requests will fail: {_ADVICE}"]
    if end.requests is None or end.posts is None:
        return [f"the service ends on {moment}"]
    left = (
        f"the service ends on {moment}, and the quota allows {end.requests:,} requests until then"
    )
    if posts <= end.posts:
        return [left]
    return [
        f"warning: {left}. {posts - end.posts:,} of these {counted(posts, 'post')} cannot be "
        f"labeled in time. A random sample of at most {end.posts:,} posts can: {_ADVICE}"
    ]


def end_document(end: ServiceEnd | None) -> dict[str, object]:
    """Return what `--json` shows of the end of a service; nulls where nothing is known."""
    return {
        "service_ends_at": end.ends_at.isoformat() if end else None,
        "requests_until_end": end.requests if end else None,
        "posts_until_end": end.posts if end else None,
    }
