"""Define what a classifier is."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import msgspec

from pipeline.classifiers.options import Options
from pipeline.config.input_files import InputFiles
from pipeline.config.secret import NO_KEY, Secret
from pipeline.model import Answer, Column, JsonObject, Post
from pipeline.service.activity import ServiceActivity

OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskShare:
    """What a task shares with its run and its process."""

    parallel_tasks: int = 1
    """How many tasks of the run may be at work at once, this one included."""

    notes: Path | None = None
    """The folder where tasks of a run leave notes for one another; it may not exist yet.

    A note says, for example, what a server supports. None: there is no such folder.
    """

    server_log: Path = Path(os.devnull)
    """The file for the output of a server that the task starts for itself."""

    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the task has been asked to stop."""


class RenderedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as a task would send it, without its headers and so without the API key."""

    url: str
    """Where it is sent by POST; only the path, for a server of the task's own."""

    body: JsonObject
    """What is sent."""

    note: str = ""
    """What a task may learn from the service, and then sends in another way; '' if nothing."""


class Classifier(ABC, Generic[OptionsT]):
    """Labels posts. One instance lives in one task."""

    options_type: ClassVar[type[Options]] = Options
    """Declares the keys of the configuration."""

    columns: tuple[Column, ...]
    """The label columns, the same for every post."""

    model: str
    """Names what labels, for the labels' column `model`."""

    secret: Secret = NO_KEY
    """The API key, to redact it from everything that is written."""

    is_instant: ClassVar[bool] = False
    """Whether it computes thousands of answers a second itself.

    Those of the last moment are then written together, because they are quickly made again. Never
    set this for a classifier that asks a service.
    """

    needs_numpy: ClassVar[bool] = True
    """Whether it may give NumPy's arrays to PyArrow, or packages that it uses may.

    If not, a task starts without NumPy, which takes a third of the CPU time off.
    """

    @classmethod
    def freeze(cls, options: OptionsT, inputs: InputFiles) -> OptionsT:
        """Return the options as tasks need them: complete, with files read, and without secrets.

        This runs on the login node, before anything is spent. Problems are reported to `inputs`,
        not raised, so that a person sees all of them at once.
        """
        return options

    @classmethod
    def check(cls, options: OptionsT, inputs: InputFiles) -> None:
        """Report to `inputs` what a task would miss now, such as its API key.

        This runs where tasks are submitted, before every submission; `options` are those that
        `freeze` returned.
        """

    @classmethod
    def check_on_node(cls, options: OptionsT, inputs: InputFiles) -> None:
        """Report to `inputs` what a task would miss on this node, such as a model's files.

        This runs on a compute node, in the environment of the tasks, and should take seconds.
        """
        cls.check(options, inputs)

    @classmethod
    def refreeze(cls, options: OptionsT, before: OptionsT, inputs: InputFiles) -> OptionsT:
        """Return corrected options as tasks need them.

        Args:
            options: the options with another value for some keys that change no label. All other
                keys are as `freeze` returned them, so their files must not be read again.
            before: the options that hold until then.
            inputs: gets what is wrong with the corrected keys.
        """
        return options

    @classmethod
    def declared(cls, options: OptionsT) -> tuple[Column, ...]:
        """Return `columns` as far as the frozen options tell them.

        This runs on the login node, where there may be no API key and no model. The database is
        asked whether it can take these columns before anything is spent.
        """
        known = getattr(cls, "columns", ())
        return known if isinstance(known, tuple) else ()

    @classmethod
    def render_request(cls, options: OptionsT, posts: Sequence[Post]) -> RenderedRequest | None:
        """Return the first request of a task, for a preview; None if nothing is requested.

        This runs on the login node, where nothing is sent.

        Args:
            options: those that `freeze` returned.
            posts: as many as one request is about, one or more.
        """
        return None

    @classmethod
    def starts_slowly(cls, options: OptionsT) -> bool:
        """Tell whether a task prepares for long before its first answer, such as loading a model.

        Nothing that should end within seconds, such as a check, then asks this classifier.
        """
        return False

    @classmethod
    def service_end(cls, options: OptionsT) -> datetime | None:
        """Return when the service ends for good, with a time zone; None if no end is announced."""
        return None

    @abstractmethod
    def __init__(self, options: OptionsT, share: TaskShare) -> None:
        """Prepare to label, on the node; `options` are those that `freeze` returned."""

    @property
    def trouble(self) -> str:
        """Return what is wrong with the service now, without the key; '' if nothing is."""
        return ""

    @property
    def activity(self) -> ServiceActivity | None:
        """Return what is sent to a service and comes back; None where there is no service."""
        return None

    def close(self) -> None:
        """End what the classifier has started, such as a server of its own.

        It is called once when the task ends, in whatever way, from any thread.
        """

    @abstractmethod
    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """Yield one answer per post, in any order, each as soon as it is there.

        It may be called again with other posts. A post that cannot be labeled gets an answer with
        a reason.

        Args:
            posts: a post counts as in flight as soon as it is taken from here. After a crash, each
                post in flight is suspected and labeled alone, so take no more than are needed.

        Raises:
            TaskError: the task or the service failed, with a known cause. All answers that have
                been paid for are yielded first. Other exceptions mean an unknown cause.
        """
