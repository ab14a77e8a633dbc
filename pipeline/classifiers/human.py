"""Describe labels that people gave: a run of them is imported whole, and no task labels it."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.options import Options
from pipeline.config.keys import label_key
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Post


class HumanOptions(Options, frozen=True, kw_only=True):
    """What people were asked, and what they said."""

    sample: Annotated[str, label_key("The sample of the posts.", recorded=True)]
    labels: Annotated[tuple[str, ...], label_key("What was coded.", recorded=True)]
    coders: Annotated[tuple[str, ...], label_key("Who coded.", recorded=True)]
    resolve: Annotated[
        str, label_key("What was done where coders disagreed; '' if nothing.", recorded=True)
    ]
    codings: Annotated[
        str, label_key("The SHA-256 of what was imported, in hexadecimal.", recorded=True)
    ]


class HumanLabels(Classifier[HumanOptions]):
    """Says what to do if a task is to give the labels again, which only people can."""

    options_type = HumanOptions
    columns = ()
    model = "human"

    def __init__(self, options: HumanOptions, share: TaskShare) -> None:
        """Refuse to label."""
        raise TaskError(
            Cause.REFUSED,
            "people gave these labels, and no task can give them again: import the codings again "
            f"with hpc gold FILE --as NAME --sample {options.sample}. The run's folder codings "
            "holds the files",
        )

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """Yield nothing: there is no such classifier at work."""
        return iter(())
