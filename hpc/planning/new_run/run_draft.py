"""Hold what a run would take, before there is one."""

from dataclasses import dataclass
from datetime import datetime

from hpc.planning.measured.pace import RunPace
from hpc.planning.measured.shard_size import ShardSize
from hpc.planning.new_run.stage_sample import StagedSample
from pipeline.backlog.left_out import LeftOut
from pipeline.backlog.repeated_texts import (
    NO_REPEATED_TEXTS,
    RepeatedTexts,
)
from pipeline.backlog.select import BacklogCounts, OddTimes
from pipeline.backlog.shards import ShardSizes
from pipeline.backlog.unsent import UnsentPosts
from pipeline.model import Post
from pipeline.usage import UsedTokens


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDraft:
    """How many posts a run would take, and in which shards."""

    source: str
    since: datetime | None
    """The watermark (UTC) that the run starts from; None for the whole backlog."""
    counts: BacklogCounts
    sizes: ShardSizes
    unlabeled_before: int | None = None
    """How many more rows than labels there are among those that were not read.

    These are duplicates, or posts that came late. None if everything was read.
    """
    paid: UsedTokens | None = None
    """The tokens that posts with comparable labels have used, if tokens have a price."""
    future: OddTimes | None = None
    """The unlabeled posts that were read and have a timestamp later than now."""
    ancient: OddTimes | None = None
    """Those with a timestamp from before FIRST_CREDIBLE_YEAR."""
    unsent: tuple[UnsentPosts, ...] = ()
    """The posts to label that are not sent, because they have no text to send."""
    repeated: RepeatedTexts = NO_REPEATED_TEXTS
    """The texts of several posts to send, if each text is asked about once."""
    first: tuple[Post, ...] = ()
    """The oldest posts that will be sent, as many as one request is about, by `draft_run`."""
    notes: tuple[str, ...] = ()
    """What a person should know: something that was asked for does not exist."""
    files: int = 0
    """How many files the posts were read from."""
    left_out: tuple[LeftOut, ...] = ()
    """What the source has beside them, and was not read."""
    sample: StagedSample | None = None
    """The sample that the posts are from; None if they are all posts without a label."""
    pace: RunPace | None = None
    """How fast earlier tasks of the same configuration were; None if nothing was measured."""
    shard_size: ShardSize | None = None
    """Why shards have their size, if `sharding.target_minutes` decides it."""

    @property
    def posts_to_send(self) -> int:
        """The posts whose text is sent, for this post or for another one."""
        return self.counts.posts - sum(each.posts for each in self.unsent)

    @property
    def posts_to_ask(self) -> int:
        """The posts that the classifier is asked about: the others get copies of the answers."""
        return self.posts_to_send - self.repeated.copied
