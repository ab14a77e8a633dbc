"""A model's labels as columns: one probability a label, and which is the most probable."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.classifiers.transformers.model_folder import BadModel, Description, shown
from pipeline.config.keys import Wrong
from pipeline.model import RESERVED, Column, ColumnKind, LabelValue

MOST_PROBABLE, TRUNCATED = "label", "was_truncated"
_RESERVED = RESERVED | {MOST_PROBABLE, TRUNCATED}


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelColumns:
    """`chosen`: position among the model's probabilities and column, of each label that is kept.

    A model whose labels exclude one another has the most probable of them all beside these, in
    `label`. `was_truncated` is a fact of the post: only its beginning was read.
    """

    description: Description
    chosen: tuple[tuple[int, str], ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        probabilities = (Column(name, ColumnKind.NUMBER) for _, name in self.chosen)
        label = () if self.description.multi_label else (Column(MOST_PROBABLE, ColumnKind.TEXT),)
        return (*probabilities, *label, Column(TRUNCATED, ColumnKind.FLAG))

    def values(self, probabilities: Sequence[float]) -> dict[str, LabelValue]:
        """Of two labels that are as probable, the first in the model's order is the label."""
        values: dict[str, LabelValue] = {name: probabilities[at] for at, name in self.chosen}
        if not self.description.multi_label:
            likeliest = max(range(len(probabilities)), key=probabilities.__getitem__)
            values[MOST_PROBABLE] = self.description.labels[likeliest]
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


def of(description: Description, mapping: Mapping[str, str]) -> LabelColumns:
    """Every label as `prob_<label>` where `mapping` is empty; else those in it, in its order.

    Raises BadModel where the model has no such label, or where two would share a column.
    """
    for label in mapping:
        if label not in description.labels:
            raise BadModel(f"it has no label {label!r}: it has {shown(description.labels)}")
    names = mapping or {label: _default(label) for label in description.labels}
    if len(set(names.values())) < len(names) or "prob_" in names.values():
        raise BadModel(
            "its labels make no column names of their own: name them in classifier.labels "
            f"({shown(description.labels)})"
        )
    chosen = tuple((description.labels.index(label), name) for label, name in names.items())
    return LabelColumns(description=description, chosen=chosen)


def _default(label: str) -> str:
    return "prob_" + re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
