"""Describe what was adopted from another engine."""

from collections.abc import Sequence

from hpc.adoption.adopt_run import Adopted
from pipeline.messages.options import ENGINE
from pipeline.terminal import one_line
from pipeline.text import counted

_MOST_NAMES = 20
_LONGEST_NAME = 60


def describe_adopted(adopted: Adopted, shards: int, *, is_dry_run: bool) -> list[str]:
    """Return lines on what was read, what was adopted, and what is missing.

    Args:
        adopted: what was found and done.
        shards: how many shards the run has.
        is_dry_run: whether nothing was written.
    """
    matched = adopted.matched
    lines = [
        f"{counted(sum(adopted.staged.rows), 'row')} in "
        f"{counted(len(adopted.found.files), 'file')}: {counted(matched.fresh, 'new answer')}, "
        f"{matched.adopted_before:,} adopted before, {matched.repeated:,} repeated"
    ]
    if matched.late:
        what = "would replace" if is_dry_run else "replaced"
        whose = "whose old output is" if len(matched.reopened) == 1 else "whose old outputs are"
        lines.append(
            f"{counted(matched.late, 'answer')} {what} the reason of missing ones in "
            f"{counted(len(matched.reopened), 'shard')}, {whose} kept as .parquet.replaced-…"
        )
    if matched.empty:
        lines.append(f"{counted(matched.empty, 'row')} without a label or a reason")
    if matched.not_asked:
        lines.append(
            f"{counted(matched.not_asked, 'answer')} ignored, because the posts have no text or "
            "one that is too short, and are not labeled"
        )
    if adopted.staged.ignored_columns:
        lines.append(f"ignored columns: {_list_names(adopted.staged.ignored_columns)}")
    if adopted.found.ignored:
        lines.append(f"ignored files: {_list_names(adopted.found.ignored)}")
    if adopted.engine_from is not None:
        lines.append(
            f"the engine is {one_line(adopted.engine, _LONGEST_NAME)}, as adoption "
            f"{adopted.engine_from} said; {ENGINE} names another one"
        )
    elif not adopted.engine:
        lines.append(f"nothing says which engine gave the answers: add {ENGINE}")
    were = "would be" if is_dry_run else "was" if len(adopted.complete) == 1 else "were"
    lines.append(
        f"{counted(len(adopted.complete), 'shard')} {were} published, of {shards:,} in the run"
    )
    if adopted.given_up:
        get = "would get" if is_dry_run else "got"
        posts = counted(adopted.given_up, "post")
        lines.append(f"{posts} without an answer {get} the reason {adopted.missing}")
    if adopted.waiting:
        have = "has" if adopted.waiting == 1 else "have"
        lines.append(f"{counted(adopted.waiting, 'post')} {have} no answer yet")
    return lines


def _list_names(names: Sequence[str]) -> str:
    """Return names that the engine chose, in one line."""
    shown = ", ".join(one_line(name, _LONGEST_NAME) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown
