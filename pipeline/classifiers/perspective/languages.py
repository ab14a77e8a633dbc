"""Learn from the Perspective API's rejections which attributes it has in which languages."""

from collections.abc import Sequence

from pipeline.classifiers.perspective.reply import RejectedRequest


class SupportedAttributes:
    """Decides which attributes to request: one without the language fails the whole request.

    Which attributes exist depends on the languages alone: those of the request, or, if it names
    none, the detected ones (`languages` of AnalyzeCommentResponse). An attribute that the service
    has rejected for the configured languages would be rejected for every post, and each further
    request would cost the quota one unit. One task's knowledge, for many threads.
    """

    def __init__(self, attributes: Sequence[str], languages: Sequence[str]) -> None:
        """Begin with the configured attributes and languages, none of them rejected."""
        self._attributes = attributes
        self._configured = frozenset(languages)
        self._rejected: dict[frozenset[str], set[str]] = {}

    def to_request(self) -> list[str]:
        """Return the attributes to request first; none if no post can get any of them."""
        return self._without_rejected(self._attributes, self._configured)

    def after(self, rejection: RejectedRequest, requested: Sequence[str]) -> list[str]:
        """Return the attributes to request after a rejection.

        The rejected attribute is left out. If the service names the languages, all attributes that
        it has rejected for the same languages are left out too.
        """
        remaining = [name for name in requested if name != rejection.attribute]
        if not rejection.languages:
            return remaining
        self._rejected.setdefault(rejection.languages, set()).add(rejection.attribute)
        return self._without_rejected(remaining, rejection.languages)

    def _without_rejected(self, names: Sequence[str], languages: frozenset[str]) -> list[str]:
        rejected = self._rejected.get(languages, set())
        return [name for name in names if name not in rejected]
