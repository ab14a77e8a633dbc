"""Define what a classifier is, and load the installed ones.

The program's own are listed here, so that a newer version of the code has them at once. Another
package adds one through the entry point group `pipeline.classifiers`:

[project.entry-points."pipeline.classifiers"]
mine = "mypackage.module:MyClassifier"
"""

import importlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import ClassVar, Generic, TypeVar, cast

from pipeline.classifiers.options import Options
from pipeline.classifiers.other_packages import places_of_others
from pipeline.config.check import Problems, check, shown
from pipeline.config.input_files import InputFiles
from pipeline.config.keys import keys_of
from pipeline.config.secret import NO_KEY, Secret
from pipeline.errors import InputError
from pipeline.model import RESERVED, Answer, Column, JsonObject, Post
from pipeline.service.activity import ServiceActivity
from pipeline.text import did_you_mean

SECTION, TYPE = "classifier", "type"

_SHIPPED = {
    "external": "pipeline.classifiers.external:ExternalLabels",
    "guard": "pipeline.classifiers.guard.classifier:Guard",
    "llm": "pipeline.classifiers.llm.classifier:Llm",
    "moderation": "pipeline.classifiers.moderation.classifier:Moderation",
    "perspective": "pipeline.classifiers.perspective.classifier:Perspective",
    "transformers": "pipeline.classifiers.transformers.classifier:TransformersClassifier",
    "valence": "pipeline.classifiers.valence:Valence",
}

# Labels that people gave. No configuration can choose it, because no task can ask people.
_RECORDED = {"human": "pipeline.classifiers.human:HumanLabels"}

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


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedRequest:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfiguredClassifier:
    """The section `classifier` of a configuration, checked key by key.

    Attributes:
        kind: its key `type`.
        options: its other keys.
        source: the configuration's file.
        folders: where to look for the files that it names, in turn.
    """

    kind: str
    options: Options
    source: str
    folders: tuple[Path, ...]

    def freeze(self, problems: Problems) -> "FrozenClassifier":
        """Return the classifier as the manifest keeps it, with files inlined.

        Args:
            problems: gets what is wrong; the value must not be used then.
        """
        inputs = InputFiles(
            source=self.source, path=SECTION, folders=self.folders, problems=problems
        )
        return FrozenClassifier(self.kind, load(self.kind).freeze(self.options, inputs))


@dataclass(frozen=True, slots=True)
class FrozenClassifier:
    """A classifier's type and whole options."""

    kind: str
    options: Options

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return its columns, as far as the options tell them."""
        return load(self.kind).declared(self.options)

    def to_json(self) -> JsonObject:
        """Return the manifest's `classifier`."""
        return {TYPE: self.kind, **self.options.to_json()}


def check_classifier(
    values: object, *, source: str, folders: tuple[Path, ...], problems: Problems
) -> ConfiguredClassifier | None:
    """Return the section `classifier`; None if something is wrong with it.

    Args:
        values: the section as the YAML has it; the caller reports one that is not a mapping.
        source: the configuration's file.
        folders: where the files that it names are tried, in turn.
        problems: gets what is wrong.
    """
    if not isinstance(values, Mapping):
        return None
    kind = values.get(TYPE)
    if kind is None:
        problems.add(
            source, f"{SECTION}.{TYPE}", f"is missing: it is one of {', '.join(installed())}"
        )
        return None
    if not isinstance(kind, str) or (kind not in _SHIPPED and kind not in installed()):
        known = installed()
        words = f"should be one of {', '.join(known)}, not {shown(kind)}"
        problems.add(source, f"{SECTION}.{TYPE}", words + did_you_mean(str(kind), known))
        return None
    options = check(
        load(kind).options_type,
        {name: value for name, value in values.items() if name != TYPE},
        source=source,
        path=SECTION,
        problems=problems,
    )
    if options is None:
        return None
    return ConfiguredClassifier(kind=kind, options=options, source=source, folders=folders)


def what_decides(frozen: JsonObject) -> JsonObject:
    """Return those frozen options that change labels; if they are equal, labels are comparable."""
    keys = keys_of(load(frozen[TYPE]).options_type)
    return {
        name: value
        for name, value in frozen.items()
        if name not in keys or keys[name].facts.changes_labels
    }


def declared_columns(frozen: JsonObject) -> tuple[Column, ...]:
    """Return the label columns that these frozen options tell.

    Raises:
        InputError: the options are of another version.
    """
    classifier, options = _with_options(frozen, source="the manifest")
    return classifier.declared(options)


def render_request(frozen: JsonObject, posts: Sequence[Post]) -> RenderedRequest | None:
    """Return the first request of a task about these posts; None if nothing is requested.

    Args:
        frozen: the manifest's `classifier`.
        posts: as many as one request is about, one or more.
    """
    classifier, options = _with_options(frozen, source="the configuration")
    return classifier.render_request(options, posts)


def starts_slowly(frozen: JsonObject) -> bool:
    """Tell whether a task with these frozen options prepares for long before its first answer."""
    classifier, options = _with_options(frozen, source="the configuration")
    return classifier.starts_slowly(options)


def service_end(frozen: JsonObject) -> datetime | None:
    """Return when the service ends that these frozen options name; None if no end is announced."""
    classifier, options = _with_options(frozen, source="the configuration")
    return classifier.service_end(options)


def check_frozen(frozen: JsonObject, *, source: str, problems: Problems) -> None:
    """Check what a run's classifier needs when its tasks start, such as the API key.

    Args:
        frozen: the manifest's `classifier`.
        source: what the problems are about.
        problems: gets what is wrong.

    Raises:
        InputError: its options are of another version.
    """
    classifier, options = _with_options(frozen, source=source)
    inputs = InputFiles(source=source, path=SECTION, folders=(), problems=problems)
    classifier.check(options, inputs)


def check_on_node(frozen: JsonObject, *, source: str, problems: Problems) -> None:
    """Check on a node what a task would miss there; the arguments are those of `check_frozen`."""
    classifier, options = _with_options(frozen, source=source)
    inputs = InputFiles(source=source, path=SECTION, folders=(), problems=problems)
    classifier.check_on_node(options, inputs)


def create(
    frozen: JsonObject, share: TaskShare, *, source: str = "manifest.json"
) -> Classifier[Options]:
    """Make a run's classifier, on the node.

    Args:
        frozen: the manifest's `classifier`.
        share: what the task has in common with others.
        source: the manifest's file.

    Raises:
        InputError: its options are of another version, or its columns cannot be stored.
    """
    classifier, options = _with_options(frozen, source=source)
    made = classifier(options, share)
    names = [column.name.lower() for column in made.columns]
    for name in names:
        if name in RESERVED or names.count(name) > 1:
            problem = "reserved in every output" if name in RESERVED else "declared twice"
            raise InputError(f"classifier.type {frozen[TYPE]}: its column {name!r} is {problem}")
    return made


def load(kind: str) -> type[Classifier[Options]]:
    """Import one classifier and none of the others, because a task should start quickly.

    Raises:
        InputError: there is no such classifier, or it cannot be imported.
    """
    place = _SHIPPED.get(kind) or _RECORDED.get(kind) or places_of_others().get(kind)
    if place is None:
        raise InputError(
            f"classifier.type: there is no {kind!r}; installed: {', '.join(installed())}"
        )
    module, _, name = place.partition(":")
    try:
        found: object = reduce(getattr, name.split("."), importlib.import_module(module))
        return cast(type[Classifier[Options]], found)
    except ImportError as error:
        raise InputError(f"classifier.type: {kind!r} cannot be imported: {error}") from None


def installed() -> list[str]:
    """Return the names of all classifiers, ours and those of other packages, sorted."""
    return sorted({*_SHIPPED, *places_of_others()})


def _with_options(frozen: JsonObject, *, source: str) -> tuple[type[Classifier[Options]], Options]:
    """Return a classifier and its options. Raises InputError if another version wrote them."""
    classifier = load(frozen[TYPE])
    values = {name: value for name, value in frozen.items() if name != TYPE}
    return classifier, classifier.options_type.from_manifest(values, source=source)
