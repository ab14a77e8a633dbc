"""Which attributes the Perspective API has in which languages, learnt from its refusals."""

from collections.abc import Sequence

from pipeline.classifiers.perspective.reply import RejectedRequest


class Support:
    """What is worth asking, where one attribute without the language fails the whole request.

    Which attributes there are depends on the languages alone: those of the request, and only where
    it names none, the detected ones (`languages` of AnalyzeCommentResponse). So what the service
    has refused in so many words for the configured languages it would refuse for every post; to
    find that out again would cost a request of the quota each time. One task's knowledge; many
    threads may use it.
    """

    def __init__(self, attributes: Sequence[str], languages: Sequence[str]) -> None:
        self._attributes = attributes
        self._configured = frozenset(languages)
        self._refused: dict[frozenset[str], set[str]] = {}

    def to_ask(self) -> list[str]:
        """The attributes that a post is asked for at first; none where there are none for any."""
        return self._without_refused(self._attributes, self._configured)

    def after(self, refusal: RejectedRequest, asked: Sequence[str]) -> list[str]:
        """What is left of `asked`: not the attribute that was refused, and where the service says
        for which languages, none of those either that it has refused for the same."""
        left = [name for name in asked if name != refusal.attribute]
        if not refusal.languages:
            return left
        self._refused.setdefault(refusal.languages, set()).add(refusal.attribute)
        return self._without_refused(left, refusal.languages)

    def _without_refused(self, names: Sequence[str], languages: frozenset[str]) -> list[str]:
        refused = self._refused.get(languages, set())
        return [name for name in names if name not in refused]
