"""Use a classifier as a run's manifest keeps it: its type and all its options."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from pipeline.classifiers.base import Classifier, RenderedRequest, TaskShare
from pipeline.classifiers.options import Options
from pipeline.classifiers.registry import load
from pipeline.config.check import Problems
from pipeline.config.input_files import InputFiles
from pipeline.config.keys import keys_of
from pipeline.errors import InputError
from pipeline.model import RESERVED, Column, JsonObject, Post

SECTION, TYPE = "classifier", "type"


class FrozenClassifier(msgspec.Struct, frozen=True):
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
    if problem := find_unusable_column(made.columns):
        raise InputError(f"classifier.type {frozen[TYPE]}: {problem}")
    return made


def find_unusable_column(columns: Sequence[Column]) -> str:
    """Return which column cannot be stored among the others, and why; '' if all can be."""
    names = [column.name.lower() for column in columns]
    for name in names:
        if name in RESERVED:
            return f"its column {name!r} is reserved in every output"
        if names.count(name) > 1:
            return f"its column {name!r} is declared twice"
        # SQL of this program gives columns beside the labels such names.
        if " " in name:
            return f"its column {name!r} has a blank in its name"
    return ""


def _with_options(frozen: JsonObject, *, source: str) -> tuple[type[Classifier[Options]], Options]:
    """Return a classifier and its options. Raises InputError if another version wrote them."""
    classifier = load(frozen[TYPE])
    values = {name: value for name, value in frozen.items() if name != TYPE}
    return classifier, classifier.options_type.from_manifest(values, source=source)
