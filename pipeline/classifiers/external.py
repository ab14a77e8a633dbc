"""Declare labels that another engine gives: what labels, and in which columns.

No task labels the posts of such a run. `hpc submit --plan-only` hands them over, and `hpc adopt`
takes the answers.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from msgspec import Meta, field
from msgspec.structs import replace

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.options import Options
from pipeline.config.input_files import InputFiles
from pipeline.config.keys import Section, Text, Wrong, expects, key, label_key, one_of
from pipeline.errors import Cause, TaskError
from pipeline.model import RESERVED, Answer, Column, ColumnKind, Post

BOOL, CHOICE, NUMBER, INTEGER, TEXT = "bool", "choice", "number", "integer", "text"
_KINDS = {
    BOOL: ColumnKind.FLAG,
    CHOICE: ColumnKind.TEXT,
    NUMBER: ColumnKind.NUMBER,
    INTEGER: ColumnKind.INTEGER,
    TEXT: ColumnKind.TEXT,
}
_WITH_LIMITS = (NUMBER, INTEGER)


class ExternalLabel(Section, frozen=True, kw_only=True):
    """One label that the other engine gives, in a column of its name."""

    name: Annotated[Text, label_key("Name of the label's column, in lower case.")]
    type: Annotated[Annotated[str, one_of(_KINDS)], label_key("Kind of the label's values.")]
    description: Annotated[str, key("What the label means, for people.", omit_default=True)] = ""
    choices: Annotated[
        tuple[Annotated[str, expects("text (quote it)")], ...],
        label_key("Values of a label of type `choice`, two or more.", omit_default=True),
    ] = ()
    minimum: Annotated[
        float | None,
        label_key("Least value of a `number` or `integer`.", default="none", omit_default=True),
    ] = None
    maximum: Annotated[
        float | None,
        label_key("Greatest value of a `number` or `integer`.", default="none", omit_default=True),
    ] = None
    may_be_null: Annotated[
        bool,
        label_key(
            "Whether an answer may leave this label out, if it has another one.", omit_default=True
        ),
    ] = False

    def __post_init__(self) -> None:
        """Reject a name that cannot be a column, and keys that this type of label has not."""
        name = self.name
        if not name.isidentifier() or name.lower() != name or name in RESERVED:
            raise Wrong("name", f"should be a lower-case column name of its own, not {name!r}")
        if (self.type == CHOICE) != bool(self.choices):
            needs = "is missing" if self.type == CHOICE else f"only a {CHOICE} has it"
            raise Wrong("choices", needs)
        if self.choices and (len(self.choices) < 2 or len(set(self.choices)) < len(self.choices)):
            raise Wrong("choices", f"should be 2 or more different texts, not {self.choices!r}")
        for limit in ("minimum", "maximum"):
            if getattr(self, limit) is not None and self.type not in _WITH_LIMITS:
                raise Wrong(limit, f"only a label of type {' or '.join(_WITH_LIMITS)} has it")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise Wrong("maximum", f"should be {self.minimum:g} or more, not {self.maximum:g}")

    @property
    def column(self) -> Column:
        """The column that the label's values go to."""
        return Column(self.name, _KINDS[self.type])


class ExternalOptions(Options, frozen=True, kw_only=True):
    """Another engine labels the posts, and `hpc adopt` takes its answers."""

    model: Annotated[
        Text,
        label_key("What labels, with its version; it goes to the labels' column `model`."),
    ]
    engine: Annotated[
        Text | None,
        key(
            "What runs the model, with its version, such as `datatrove 0.10`; `hpc adopt --engine` "
            "names another one.",
            default="none",
            omit_default=True,
        ),
    ] = None
    labels: Annotated[
        tuple[ExternalLabel, ...],
        Meta(min_length=1),
        label_key("The labels that the engine gives, each in a column of its own."),
    ]
    prompt: Annotated[
        Text | None,
        label_key(
            "File with the prompt that the engine uses. Its text counts, which the run keeps.",
            default="none",
            omit_default=True,
        ),
    ] = None
    settings: Annotated[
        Mapping[
            Annotated[str, expects("text (quote it)")],
            Annotated[object, expects("a value of JSON")],
        ],
        label_key(
            "Whatever else decides a label, such as `{temperature: 0, dtype: bfloat16}`.",
            default="none",
            omit_default=True,
        ),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject keys that contradict one another."""
        names = [label.name for label in self.labels]
        for name in names:
            if names.count(name) > 1:
                raise Wrong("labels", f"{name!r} is declared twice")
        if self.keep_raw:
            raise Wrong("keep_raw", "has no effect: the engine's files hold what it was answered")


class ExternalLabels(Classifier[ExternalOptions]):
    """Says what to do if a task is to give the labels, which only the other engine can."""

    options_type = ExternalOptions

    @classmethod
    def freeze(cls, options: ExternalOptions, inputs: InputFiles) -> ExternalOptions:
        """Read the prompt."""
        if options.prompt is None:
            return options
        return replace(options, prompt=inputs.text("prompt", options.prompt) or None)

    @classmethod
    def declared(cls, options: ExternalOptions) -> tuple[Column, ...]:
        """Return the columns of the labels."""
        return tuple(label.column for label in options.labels)

    def __init__(self, options: ExternalOptions, share: TaskShare) -> None:
        """Refuse to label."""
        raise TaskError(
            Cause.REFUSED,
            "another engine gives these labels, and no task can: hand the posts over with "
            "hpc submit --plan-only, and take the answers with hpc adopt",
        )

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """Yield nothing: there is no such classifier at work."""
        return iter(())
