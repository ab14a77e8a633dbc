"""What a classifier is. Another package adds one by the entry point group `pipeline.classifiers`.

[project.entry-points."pipeline.classifiers"]
mine = "mypackage.module:MyClassifier"
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import ClassVar, Generic, TypeVar, cast

from pipeline.classifiers.options import Options
from pipeline.config.check import Problems, check, shown
from pipeline.config.input_files import InputFiles
from pipeline.config.keys import keys_of
from pipeline.config.secret import NO_KEY, Secret
from pipeline.errors import InputError
from pipeline.model import RESERVED, Answer, Column, JsonObject, Post
from pipeline.text import did_you_mean

GROUP = "pipeline.classifiers"
SECTION, TYPE = "classifier", "type"

OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskShare:
    """What a task has in common with others.

    `parallel_tasks`: how many of its run may be at work at once, this one included. `notes`: the
    folder where tasks of a run leave notes for one another, such as what a server honors; it may
    not exist yet. None: nowhere. `server_log`: what a server that the task starts for itself
    writes. `stopping` is set when the task is told to stop.
    """

    parallel_tasks: int = 1
    notes: Path | None = None
    server_log: Path = Path(os.devnull)
    stopping: threading.Event = field(default_factory=threading.Event)


class Classifier(ABC, Generic[OptionsT]):
    """Labels posts. One instance lives in one task.

    `columns` are the label columns, the same for every post; `model` names what labelled.
    `options_type` declares the keys of the configuration.
    """

    options_type: ClassVar[type[Options]] = Options

    columns: tuple[Column, ...]
    model: str
    secret: Secret = NO_KEY

    @classmethod
    def freeze(cls, options: OptionsT, inputs: InputFiles) -> OptionsT:
        """On the login node, before anything is spent: return the options as tasks need them.

        They must be whole, with the files that they name read, and without any secret. What is
        wrong is reported to `inputs`, not raised, so that a person sees all of it at once.
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

    @abstractmethod
    def __init__(self, options: OptionsT, share: TaskShare) -> None:
        """On the node: prepare to label. `options` are those that `freeze` returned."""

    @property
    def trouble(self) -> str:
        """What its service complains of at the moment, without the key; '' where all is well."""
        return ""

    def close(self) -> None:
        """Called once when the task leaves, however it does, from whatever thread: ends what the
        classifier has started, such as a server of its own."""

    @abstractmethod
    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """One Answer a post, in any order, each yielded as soon as it is there.

        May be called again, with other posts. A post counts as in hand from when it is taken out
        of `posts`: one that takes more than it works on has more suspects to answer for, one by
        one, after a crash.

        A post that cannot be labelled is an Answer with a reason. A fault of the task or of the
        service raises (TaskError where the cause is known), after what was paid for is yielded.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfiguredClassifier:
    """The section `classifier` of a configuration, checked key by key.

    Attributes:
        kind: its key `type`.
        options: its other keys.
        source: the configuration's file.
        folders: where the files that it names are tried, in turn.
    """

    kind: str
    options: Options
    source: str
    folders: tuple[Path, ...]

    def freeze(self, problems: Problems) -> "FrozenClassifier":
        """Return the classifier as the manifest keeps it, with files inlined.

        Args:
            problems: gets what is wrong; then the value must not be used.
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
    """Return the section `classifier`; None where something is wrong with it.

    Args:
        values: the section as the YAML has it; what is no mapping is somebody else's to report.
        source: the configuration's file.
        folders: where the files that it names are tried, in turn.
        problems: gets what is wrong.
    """
    if not isinstance(values, Mapping):
        return None
    kind, known = values.get(TYPE), sorted(_known())
    if kind is None:
        problems.add(source, f"{SECTION}.{TYPE}", f"is missing: it is one of {', '.join(known)}")
        return None
    if kind not in known:
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
    """Return what changes labels of the frozen options: where it is equal, labels compare."""
    keys = keys_of(load(frozen[TYPE]).options_type)
    return {
        name: value
        for name, value in frozen.items()
        if name not in keys or keys[name].facts.changes_labels
    }


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
    classifier = load(frozen[TYPE])
    values = {name: value for name, value in frozen.items() if name != TYPE}
    made = classifier(classifier.options_type.from_manifest(values, source=source), share)
    names = [column.name.lower() for column in made.columns]
    for name in names:
        if name in RESERVED or names.count(name) > 1:
            whose = "one of every output" if name in RESERVED else "there twice"
            raise InputError(f"classifier.type {frozen[TYPE]}: its column {name!r} is {whose}")
    return made


def load(kind: str) -> type[Classifier[Options]]:
    """Imports one classifier and nothing of the others: a task starts with what it needs."""
    known = _known()
    if kind not in known:
        raise InputError(f"classifier.type: there is no {kind!r}; installed: {', '.join(known)}")
    try:
        return cast(type[Classifier[Options]], known[kind].load())
    except ImportError as error:
        raise InputError(f"classifier.type: {kind!r} cannot be imported: {error}") from None


def _known() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
