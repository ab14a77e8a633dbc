"""Fit the requests in flight into the file descriptors that a process may open.

Each request in flight takes a connection. A task that runs out of descriptors could not write its
answers either.
"""

import resource

# For files, the server's log, name lookups, and connections that are being closed.
OTHERS = 96


def raise_limit(requests: int) -> None:
    """Raise the limit of descriptors to what this many requests need, as far as this user may.

    Not further: a program that this process starts may close every descriptor that it could have.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = requests + 2 * OTHERS
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if raised > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))


def affordable(requests: int) -> int:
    """Return how many requests may be in flight at once: as many as asked for, or fewer."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return requests
    return max(1, min(requests, limit - OTHERS if limit >= 2 * OTHERS else limit // 2))


def describe_lack(requests: int) -> str:
    """Return that fewer requests than asked for can be in flight; '' if all can."""
    possible = affordable(requests)
    if possible == requests:
        return ""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"max_in_flight is {requests}, but this task may open only {limit} files "
        f"(`ulimit -Hn`), so it keeps {possible} requests in flight"
    )
