"""Describe in words what a run would take, before it is created. Pure."""

import math
from collections.abc import Sequence
from datetime import datetime

from hpc.display.run.submissions import describe_limit
from hpc.planning.estimate import describe_estimate, estimate_cost, quota_in_posts
from hpc.planning.measured.describe import describe_duration, describe_pace
from hpc.planning.measured.duration import Workload, estimate_minutes
from hpc.planning.measured.pace import RunPace
from hpc.planning.new_run.describe_sample import describe_sample
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import RunSpec, Selection
from hpc.run.array_plan import plan_arrays
from hpc.run.model.arrays import ResourceRequest, ShardGroup, SubmitLimit
from hpc.run.plan import tightest, usable_room
from pipeline.backlog.left_out import describe_left_out
from pipeline.backlog.select import FIRST_CREDIBLE_YEAR, BacklogCounts
from pipeline.messages.options import LIMIT, RANDOM_SAMPLE
from pipeline.model import INVALID_TEXT, NO_TEXT, TOO_SHORT
from pipeline.run_files.manifest import EXTERNAL
from pipeline.text import counted


def describe_draft(spec: RunSpec, selection: Selection, draft: RunDraft) -> list[str]:
    """Return lines on the posts, the shards, and what they will cost."""
    lines = [*draft.notes]
    if draft.since:
        lines.append(f"posts since the watermark, {_written(draft.since)} UTC")
    lines += describe_sample(draft.sample)
    if selection.chooses:
        lines.append("the watermark does not move: a later plain submit labels the remaining posts")
    lines.append(f"{draft.source}: {_describe_counts(selection, draft.counts)}")
    if draft.counts.over_limit and not selection.canary:
        lines.append(
            f"the oldest {counted(draft.counts.posts, 'post')} are not a random sample of all: "
            f"for estimates, use {RANDOM_SAMPLE} instead of {LIMIT}"
        )
    lines += describe_left_out(draft.left_out)
    lines += _describe_late_posts(spec.config.to_paste, draft)
    lines += _describe_odd_times(selection, draft)
    if not draft.counts.posts:
        if (where := spec.config.backlog.where) and not draft.counts.rows + draft.counts.unread:
            lines.append(f"no row of the source fulfills backlog.where: {where}")
        return [*lines, f"nothing to label under the name {spec.config.name}"]
    lines += _describe_unsent(draft, spec.config.backlog.min_text_length)
    if spec.config.classifier.kind == EXTERNAL:  # no task asks about texts
        return [*lines, describe_sizes(draft)]
    lines += _describe_copies(draft)
    estimate = estimate_cost(spec.cost_options, draft.posts_to_ask, draft.paid)
    lines.append(_describe_shards(spec, draft))
    return [*lines, *_describe_speed(spec, selection, draft), *describe_estimate(estimate)]


def _describe_speed(spec: RunSpec, selection: Selection, draft: RunDraft) -> list[str]:
    """Return why shards have their size, how fast earlier tasks were, and what follows from it.

    Nothing of a canary, which is there to find that out.
    """
    if selection.canary:
        return []
    lines = [f"shard size: {draft.shard_size.reason}"] if draft.shard_size else []
    if draft.pace is None:
        return lines
    whole = describe_duration(workload(spec, draft))
    return [*lines, describe_pace(draft.pace), f"all posts take {whole}"]


def speed_document(spec: RunSpec, draft: RunDraft) -> dict[str, object]:
    """Return what --json says about the size of shards and how long they take; null if unknown."""
    size, pace, work = draft.shard_size, draft.pace, workload(spec, draft)
    return {
        "shard_size": size
        and {
            "rows": size.rows,
            "basis": str(size.basis),
            "bound": str(size.bound),
            "minutes": work.shard_minutes,
        },
        "measured": pace
        and {
            "run_ids": [run.run_id for run in pace.runs],
            "posts_per_minute": pace.per_minute,
            "startup_seconds": 60 * pace.startup_minutes,
            "memory_mb": pace.memory_mb,
        },
        "minutes_estimate": estimate_minutes(work),
    }


def workload(spec: RunSpec, draft: RunDraft, pace: RunPace | None = None) -> Workload:
    """Return what decides how long the posts of a draft take.

    Args:
        spec: the configuration.
        draft: the posts.
        pace: how fast tasks are; by default, as the draft found it measured.
    """
    measured = pace or draft.pace
    share = draft.posts_to_ask / draft.counts.posts if draft.counts.posts else 0.0
    return Workload(
        asked=draft.posts_to_ask,
        largest=share * draft.sizes.largest,
        shards=draft.sizes.count,
        per_minute=measured.per_minute if measured else None,
        startup_minutes=measured.startup_minutes if measured else 0.0,
        tasks_at_once=spec.config.cluster.max_parallel,
        quota_per_minute=quota_in_posts(spec.cost_options),
    )


def _describe_counts(selection: Selection, counts: BacklogCounts) -> str:
    parts = [f"{counted(counts.posts, 'post')} to label"]
    if counts.excluded:
        rows = counted(counts.excluded, "row of a post", "rows of posts")
        parts.append(f"{rows} already labeled or in an unfinished run")
    if counts.duplicates:
        # Those of labeled posts are among the rows above, so the same source has fewer here.
        of = " of unlabeled posts" if counts.excluded else ""
        parts.append(f"{counted(counts.duplicates, 'duplicate')}{of}")
    if counts.older:
        parts.append(f"{counted(counts.older, 'older post')}")
    if counts.over_limit:
        parts.append(f"{counted(counts.over_limit, 'post')} {_beyond(selection)}")
    if counts.not_chosen:
        rows = counted(counts.not_chosen, "row of a post", "rows of posts")
        without = "without a label" if selection.where is None else "without such a label"
        parts.append(f"{rows} {without} under {selection.only_labeled_by}")
    if counts.not_drawn:
        parts.append(f"{counted(counts.not_drawn, 'post')} not in the sample")
    return f"{counted(counts.rows, 'row')}: {', '.join(parts)}"


def _beyond(selection: Selection) -> str:
    return "after the canary" if selection.canary else f"beyond {LIMIT}"


def _describe_late_posts(config: str, draft: RunDraft) -> list[str]:
    lines = []
    if draft.counts.older:
        have = "has" if draft.counts.older == 1 else "have"
        lines.append(
            f"{counted(draft.counts.older, 'post')} from before the watermark {have} no label: "
            f"hpc submit --config {config} --backfill labels late posts (hpc audit --config "
            f"{config} tells them from lost labels)"
        )
    if draft.counts.unread:
        more = draft.unlabeled_before or 0
        have = "has" if more == 1 else "have"
        found = f"; at least {counted(more, 'row')} {have} no label (duplicates or late posts)"
        lines.append(
            f"not read: {counted(draft.counts.unread, 'older row')}{found if more else ''}. "
            f"hpc audit --config {config} counts the late posts among them, and "
            f"hpc submit --config {config} --backfill labels them"
        )
    return lines


def _describe_unsent(draft: RunDraft, min_text_length: int) -> list[str]:
    kinds = {
        NO_TEXT: "no text",
        INVALID_TEXT: "a text that is not valid text",
        TOO_SHORT: f"fewer than {counted(min_text_length, 'character')}",
    }
    lines = [
        f"of the posts to label, {each.posts:,} {'has' if each.posts == 1 else 'have'} "
        f"{kinds[each.reason]} ({each.reason}), such as {each.uri!r}"
        for each in draft.unsent
    ]
    if lines and not draft.posts_to_send:
        return [*lines, "no post will be sent, so none will get a label: check backlog.columns"]
    return [*lines, "these posts are not sent, and their rows say why"] if lines else []


def _describe_copies(draft: RunDraft) -> list[str]:
    repeated = draft.repeated
    if not repeated.texts:
        return []
    lines = [
        f"{counted(repeated.posts, 'post')} share {counted(repeated.texts, 'text')}: each text is "
        f"asked about once, and {counted(repeated.copied, 'answer is', 'answers are')} copied "
        "(backlog.ask_each_text_once)"
    ]
    if repeated.asked_again:
        lines.append(
            f"the most frequent text has {counted(repeated.largest, 'post')}: a text with more "
            "posts than a shard holds is asked about once in each of its shards"
        )
    return lines


def _describe_odd_times(selection: Selection, draft: RunDraft) -> list[str]:
    """Return how many posts have times that cannot be right, and name one of each kind.

    Posts from the future are the last to be labeled. Until then, only the first run of a name
    describes them.
    """
    counts, future, lines = draft.counts, draft.future, []
    is_first = draft.since is None and not counts.excluded
    if future and future.posts <= counts.over_limit and not is_first:
        posts = counted(future.posts, "post")
        lines = [f"{posts} {_beyond(selection)} with a timestamp in the future"]
        future = None
    kinds = [
        (future, "in the future", "; such times do not move the watermark"),
        (draft.ancient, f"from before {FIRST_CREDIBLE_YEAR}", ""),
    ]
    return lines + [
        f"{counted(odd.posts, 'unlabeled post')} with a timestamp {what}, such as "
        f"{odd.uri!r} ({_written(odd.moment)} UTC){effect}"
        for odd, what, effect in kinds
        if odd
    ]


def _written(moment: datetime) -> str:
    # strftime does not write all four digits of years before 1000.
    return moment.isoformat(sep=" ", timespec="seconds")


def _describe_shards(spec: RunSpec, draft: RunDraft) -> str:
    arrays = plan_arrays(
        [ShardGroup(shards=tuple(range(draft.sizes.count)), request=ResourceRequest())],
        array_size=spec.array_size,
        max_parallel=spec.config.cluster.max_parallel,
    )
    job_arrays = "one job array" if len(arrays) == 1 else f"{len(arrays):,} job arrays"
    return (
        f"{describe_sizes(draft)}, {job_arrays}, "
        f"up to {counted(arrays[0].parallel_tasks, 'task')} at a time"
    )


def describe_sizes(draft: RunDraft) -> str:
    """Return `12 shards of up to 2,500 posts`."""
    sizes = draft.sizes
    up_to = "up to " if sizes.larger else ""
    if draft.repeated.texts:  # the posts of a text stay together
        up_to = "about "
    return f"{counted(sizes.count, 'shard')} of {up_to}{counted(sizes.largest, 'post')}"


def describe_waves(
    draft: RunDraft, limits: Sequence[SubmitLimit], waves: int | None, *, spare_jobs: int
) -> list[str]:
    """Return in how many waves the shards go out, and which limit says so; nothing if in one."""
    limit, shards = tightest(limits), draft.sizes.count
    if limit is None or (waves is not None and waves <= 1):
        return []
    if waves is None:
        return [f"no shard can be submitted now: {describe_limit(limit)}"]
    rows = math.ceil(draft.counts.posts / usable_room(limit, spare_jobs))
    return [
        f"{shards:,} shards go out in {waves:,} waves: {describe_limit(limit)}",
        f"with sharding.rows_per_shard of {rows:,} or more, all fit at once (and each task takes "
        "longer)",
    ]
