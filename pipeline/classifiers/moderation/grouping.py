"""Decide whether several posts still share a request, and say once why they do not any more."""

import threading
from collections.abc import Sequence

from pipeline.classifiers.moderation.arrangement import FEWEST_POSTS

# Tokens are never more than bytes, and the models read 32,768 tokens (OpenAI) or 8,192 (Mistral)
# of a text. A longer text goes alone, so that the service judges it alone.
_MOST_BYTES = 8_192
# So many rejected requests in a row are no matter of single texts.
_MOST_REJECTED = 3


class Grouping:
    """How many posts share a request now, for many threads."""

    def __init__(self, size: int) -> None:
        """Begin with `size` posts in each request."""
        self._size = size
        self._rejected = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Return how many posts to take for the next request."""
        return self._size

    def fits(self, texts: Sequence[str]) -> bool:
        """Report whether these texts share a request: enough of them, and none too long."""
        return len(texts) >= FEWEST_POSTS and all(
            len(text.encode()) <= _MOST_BYTES for text in texts
        )

    def record_proven(self) -> None:
        """Record a reply that proved the order of its results."""
        with self._lock:
            self._rejected = 0

    def record_unproven(self, problem: str) -> None:
        """Record a reply whose results cannot be joined to their texts; none is trusted again."""
        self._stop(f"its results cannot be joined to their texts ({problem})")

    def record_rejected(self, posts: int, summary: str) -> None:
        """Record a request that was rejected, for one of its texts or because they are several."""
        with self._lock:
            self._rejected += 1
            is_over = self._rejected >= _MOST_REJECTED
        if is_over:
            self._stop(f"it rejects requests with {posts} posts ({summary})")

    def _stop(self, why: str) -> None:
        with self._lock:
            is_news, self._size = self._size > 1, 1
        if is_news:
            print(f"The service: {why}. From now on, one post per request", flush=True)
