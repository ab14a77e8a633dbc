"""Perspective without a quota, for tests that are not about one."""

from typing import Annotated

from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.classifiers.perspective.options import PerspectiveOptions
from pipeline.config.keys import Positive, key


class UnpacedOptions(PerspectiveOptions, frozen=True, kw_only=True):
    """The keys of Perspective, of which `requests_per_minute` may be null."""

    requests_per_minute: Annotated[Positive | None, key("No quota by default.")] = None


class UnpacedPerspective(Perspective):
    """Perspective in all else. A task waits for 13 seconds before it may use a shared quota."""

    options_type = UnpacedOptions
