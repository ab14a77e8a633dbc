"""Map a model's labels to columns: one probability per label, and the most probable label."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.classifiers.transformers.model_folder import BadModel, Description, shown
from pipeline.config.keys import Wrong
from pipeline.model import RESERVED, Column, ColumnKind, LabelValue
from pipeline.text import did_you_mean

MOST_PROBABLE, TRUNCATED = "label", "was_truncated"
_RESERVED = RESERVED | {MOST_PROBABLE, TRUNCATED}


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelColumns:
    """The columns of a model.

    If its labels exclude one another, `label` has the most probable one of all. `was_truncated`
    says that only the beginning of the post was read.
    """

    description: Description
    """The model's labels."""

    chosen: tuple[tuple[int, str], ...]
    """For each label that is kept, its position in the model's order and its column."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, in the order of the output."""
        probabilities = (Column(name, ColumnKind.NUMBER) for _, name in self.chosen)
        label = () if self.description.multi_label else (Column(MOST_PROBABLE, ColumnKind.TEXT),)
        return (*probabilities, *label, Column(TRUNCATED, ColumnKind.FLAG))

    def values(self, probabilities: Sequence[float]) -> dict[str, LabelValue]:
        """Return the values of a post's columns, except `was_truncated`.

        Of two labels that are equally probable, `label` is the first in the model's order.
        """
        values: dict[str, LabelValue] = {
            column: probabilities[position] for position, column in self.chosen
        }
        if not self.description.multi_label:
            most_probable = max(range(len(probabilities)), key=probabilities.__getitem__)
            values[MOST_PROBABLE] = self.description.labels[most_probable]
        return values


def check_columns(labels: Mapping[str, str]) -> None:
    """Check the key `labels`, column by label.

    Raises:
        Wrong: a column has no name of its own.
    """
    columns = list(labels.values())
    for label, column in labels.items():
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", column) or column in _RESERVED:
            raise Wrong(
                "labels",
                f"{label!r} should map to a lower-case column name of its own, not {column!r}",
            )
        if columns.count(column) > 1:
            raise Wrong("labels", f"{column!r} is the column of two labels")


def label_columns(description: Description, mapping: Mapping[str, str]) -> LabelColumns:
    """Return the columns of a model.

    Args:
        description: the model's labels.
        mapping: the column of each label to keep, in their order. If it is empty, every label is
            kept, as `prob_<label>`.

    Raises:
        BadModel: the model has no such label, or two labels would share a column.
    """
    known = description.labels
    missing = [f"{label!r}{did_you_mean(label, known)}" for label in mapping if label not in known]
    if missing:
        labels = "label" if len(missing) == 1 else "labels"
        raise BadModel(
            f"it has no {labels} {shown(missing)}: it has {shown(known)}. classifier.labels names "
            "the model's labels, each with its column"
        )
    names = mapping or {label: _default(label) for label in description.labels}
    if len(set(names.values())) < len(names) or "prob_" in names.values():
        raise BadModel(
            "its labels do not give distinct column names: name them in classifier.labels "
            f"({shown(description.labels)})"
        )
    chosen = tuple((description.labels.index(label), name) for label, name in names.items())
    return LabelColumns(description=description, chosen=chosen)


def _default(label: str) -> str:
    return "prob_" + re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
