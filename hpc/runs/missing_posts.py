"""Say that runs are not complete, so that what is there is no random part of their posts. Pure."""

from pipeline.text import counted

ORDER = "a run labels the oldest posts first, and posts with the same text together"
"""Why the posts that have no result yet are not like the others."""


def describe_missing(name: str, posts: int, consequence: str) -> str:
    """Return how many posts of a name's runs have no published result yet, and what follows.

    Args:
        name: of the labels.
        posts: how many.
        consequence: a clause such as `cannot be drawn`, which fits one post and several.
    """
    have = "has" if posts == 1 else "have"
    return (
        f"{counted(posts, 'post')} of the runs of {name} {have} no published result yet and "
        f"{consequence}. The missing posts are no random part of all posts: {ORDER}"
    )


def describe_open(name: str, not_gathered: int, missing: int) -> list[str]:
    """Return which posts of a name's runs a comparison leaves out, in a sentence for each kind.

    Args:
        name: of the labels.
        not_gathered: posts whose published output the database does not have.
        missing: posts without a published result.
    """
    lines = []
    if not_gathered:
        lines.append(
            f"left out: {counted(not_gathered, 'post')} of {name} that this database does not have "
            "yet. Gather first, with hpc gather"
        )
    if missing:
        lines.append(describe_missing(name, missing, "cannot be compared"))
    return lines
