"""Perspective without a quota, for tests that are not about one."""

from pipeline.config.section import Section

from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.model import JsonObject


class UnpacedPerspective(Perspective):
    """The real classifier in all else: a task waits 13 seconds before it may use a shared quota."""

    @classmethod
    def freeze(cls, section: Section) -> JsonObject:
        return super().freeze(section) | {"requests_per_minute": None}
