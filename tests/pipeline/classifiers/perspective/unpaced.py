"""Perspective without a quota, and without waits, for tests that are not about them."""

from typing import Annotated

from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.classifiers.perspective.options import PerspectiveOptions
from pipeline.config.keys import Positive, key
from pipeline.service.service import RequestPolicy


class UnpacedOptions(PerspectiveOptions, frozen=True, kw_only=True):
    """The keys of Perspective, of which `requests_per_minute` may be null."""

    requests_per_minute: Annotated[Positive | None, key("No quota by default.")] = None


class UnpacedPerspective(Perspective):
    """Perspective in all else. A task waits for 13 seconds before it may use a shared quota."""

    options_type = UnpacedOptions


class ImpatientPerspective(UnpacedPerspective):
    """Send failed requests again at once."""

    policy = RequestPolicy(first_wait_s=0.01, longest_wait_s=0.01)
