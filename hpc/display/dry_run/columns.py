"""Show the columns of the labels that a run will have, with their types in DuckDB."""

import textwrap
from collections.abc import Sequence

import pyarrow as pa

from pipeline.model import ENVELOPE, KIND_TYPES, PROVENANCE, Column

WIDTH = 78
_DUCKDB = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.timestamp("us"): "TIMESTAMP",
}


def columns_document(columns: Sequence[Column]) -> list[dict[str, str]]:
    """Return name and type of every column of `labels_<name>`, in their order."""
    of_labels = [(column.name, KIND_TYPES[column.kind].duckdb) for column in columns]
    before = [(field.name, _DUCKDB[field.type]) for field in ENVELOPE]
    after = [(field.name, _DUCKDB[field.type]) for field in PROVENANCE]
    return [{"name": name, "type": kind} for name, kind in (*before, *of_labels, *after)]


def describe_columns(name: str, columns: Sequence[Column]) -> list[str]:
    """Return lines with the columns of a name's labels.

    Some classifiers know their columns only in a task, once a model is loaded.
    """
    listed = columns_document(columns)
    # Blanks inside an entry must not be broken.
    text = ", ".join(f"{each['name']}\xa0{each['type']}" for each in listed)
    lines = textwrap.wrap(
        text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
    unknown = "" if columns else "; its label columns are known once a task has loaded the model"
    return [
        f"table labels_{name} has {len(listed)} columns{unknown}:",
        *(line.replace("\xa0", " ") for line in lines),
    ]
