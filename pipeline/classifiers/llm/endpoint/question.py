"""Define what is asked about a post, whatever the form of the question and of its answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline import usage
from pipeline.classifiers.llm.output_modes import ProbeRequest, ServerCapabilities
from pipeline.model import JsonObject, LabelValue, Post
from pipeline.service.http_reply import Reply

# The server is probed with this and not with a post, which may be too long or refused.
PROBE = Post("", "The sun is out today.")

Values = dict[str, LabelValue]


class Question(Protocol):
    """Writes the requests about single posts, and reads the replies."""

    path: str
    """The part of the address behind `base_url`."""

    probe_request: ProbeRequest
    """What to detect about the server."""

    tries: int
    """How often a post is sent until its answer is valid, at most."""

    answer_entries: int
    """How many tokens an answer may list, alternatives included."""

    def probe(self, capabilities: ServerCapabilities, fields: JsonObject) -> JsonObject:
        """Return the request about `PROBE` with further `fields`."""

    def single(
        self, post: Post, capabilities: ServerCapabilities, *, attempt: int = 0
    ) -> JsonObject:
        """Return the request about one post after `attempt` invalid answers."""

    def is_same_question(self, attempt: int) -> bool:
        """Report whether a try sends the request of the try before it, with the same seed."""

    def values(self, reply: Reply) -> Values:
        """Return the column values of a reply. Raises InvalidAnswer if it holds no label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BilledReply:
    """A reply, and which part of its cost one post bears."""

    reply: Reply
    """The reply."""

    posts: int = 1
    """How many posts share its cost."""

    position: int = 0
    """The place of this post among them, from 0."""


def tokens_of(billed: Iterable[BilledReply]) -> Mapping[str, int]:
    """Return the tokens that one post has used, by column.

    An HTTP error costs nothing. A failure without an answer may have cost anything.
    """
    return usage.sum_tokens(
        usage.share_of_tokens(
            usage.reply_tokens(part.reply.body), posts=part.posts, nth=part.position
        )
        for part in billed
        if part.reply.status <= 200
    )
