"""What a classifier is. Another package adds one by the entry point group `pipeline.classifiers`.

[project.entry-points."pipeline.classifiers"]
mine = "mypackage.module:MyClassifier"
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

from pipeline.config.secret import NO_KEY, Secret
from pipeline.config.section import Section
from pipeline.errors import InputError
from pipeline.model import RESERVED, Answer, Column, JsonObject, Post

GROUP = "pipeline.classifiers"
KEEP_RAW = "keep_raw"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskShare:
    """What a task has in common with others.

    `parallel_tasks`: how many of its run may be at work at once, this one included. `notes`: the
    folder where tasks of a run leave notes for one another, such as what a server honours; it may
    not exist yet. None: nowhere. `server_log`: what a server that the task starts for itself
    writes. `stopping` is set when the task is told to stop.
    """

    parallel_tasks: int = 1
    notes: Path | None = None
    server_log: Path = Path(os.devnull)
    stopping: threading.Event = field(default_factory=threading.Event)


class Classifier(ABC):
    """Labels posts. One instance lives in one task.

    `columns` are the label columns, the same for every post; `model` names what labelled.
    `operational` names the options that change how posts are labelled, and never what comes out.
    """

    operational: frozenset[str] = frozenset()

    columns: tuple[Column, ...]
    model: str
    secret: Secret = NO_KEY

    @classmethod
    @abstractmethod
    def freeze(cls, section: Section) -> JsonObject:
        """On the login node: reads this classifier's keys, checks them and that the key is set.

        Returns JSON values for the run's folder: whole (files inlined) and without any secret.
        Raises InputError, with the key's path.
        """

    @classmethod
    def declared(cls, options: JsonObject) -> tuple[Column, ...]:
        """`columns` as far as `options` tell them, on the login node: there may be no key, and no
        model. What is told, the database can be asked to take before anything is spent."""
        known = getattr(cls, "columns", ())
        return known if isinstance(known, tuple) else ()

    @abstractmethod
    def __init__(self, options: JsonObject, share: TaskShare) -> None:
        """On the node: `options` is what `freeze` returned."""

    @property
    def trouble(self) -> str:
        """What its service complains of at the moment, without the key; '' where all is well."""
        return ""

    def close(self) -> None:  # noqa: B027 - most have nothing to end
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


def freeze(section: Section) -> JsonObject:
    """The frozen options of the configured classifier, its type included."""
    kind = section.choice("type", tuple(sorted(_known())))
    options = load(kind).freeze(section)
    raw = {KEEP_RAW: True} if section.boolean("keep_raw", False) else {}
    section.done()
    return {"type": kind, **options, **raw}


def what_decides(options: JsonObject) -> JsonObject:
    """The frozen options but for the operational ones: equal ones, comparable labels."""
    operational = load(options["type"]).operational | {KEEP_RAW}
    return {name: value for name, value in options.items() if name not in operational}


def declared(options: JsonObject) -> tuple[Column, ...]:
    return load(options["type"]).declared(options)


def create(options: JsonObject, share: TaskShare) -> Classifier:
    """Raises InputError where what it declares cannot be stored, before anything is paid for."""
    made = load(options["type"])(options, share)
    names = [column.name.lower() for column in made.columns]
    for name in names:
        if name in RESERVED or names.count(name) > 1:
            whose = "one of every output" if name in RESERVED else "there twice"
            raise InputError(f"classifier.type {options['type']}: its column {name!r} is {whose}")
    return made


def load(kind: str) -> type[Classifier]:
    """Imports one classifier and nothing of the others: a task starts with what it needs."""
    known = _known()
    if kind not in known:
        raise InputError(f"classifier.type: there is no {kind!r}; installed: {', '.join(known)}")
    try:
        return cast(type[Classifier], known[kind].load())
    except ImportError as error:
        raise InputError(f"classifier.type: {kind!r} cannot be imported: {error}") from None


def _known() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
