"""From frozen options to a model at work, on the node."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.classifiers.transformers import device, hub, label_columns
from pipeline.classifiers.transformers.label_columns import LabelColumns
from pipeline.classifiers.transformers.model_folder import BadModel, describe, fingerprint
from pipeline.classifiers.transformers.options import TransformersOptions
from pipeline.classifiers.transformers.self_test import self_test
from pipeline.classifiers.transformers.sequence_model import LoadOptions, SequenceModel
from pipeline.errors import Cause, TaskError


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """`name` is what labelled: where the model came from, which one exactly, and in which numbers
    it was computed."""

    model: SequenceModel
    labels: LabelColumns
    name: str


def load(
    options: TransformersOptions, environment: Mapping[str, str], parallel_tasks: int
) -> Loaded:
    """Raises TaskError with what to do; OSError where a file cannot be read."""
    name, revision = options.model, options.revision or ""
    local = revision.startswith("sha256:")
    folder = Path(name) if local else hub.fetch(name, revision)
    try:
        if local:
            _check_files(folder, revision)
        description = describe(folder, options.multi_label)
        labels = label_columns.of(description, options.labels)
        wish = _wish(options, environment, parallel_tasks)
        model = SequenceModel(folder, wish, multi_label=description.multi_label)
        self_test(model, len(description.labels))
    except BadModel as bad:
        raise TaskError(Cause.REFUSED, f"the model {name} cannot be used: {bad}") from bad
    return Loaded(
        model=model,
        labels=labels,
        name=f"{folder.name if local else name}@{revision} {model.dtype}",
    )


def _check_files(folder: Path, planned: str) -> None:
    if not folder.is_dir():
        raise BadModel("no such folder here: put it on a file system that the compute nodes see")
    if f"sha256:{fingerprint(folder)}" != planned:
        raise BadModel(
            "its files are not those that the run was planned with: put them back, or submit anew"
        )


def _wish(
    options: TransformersOptions, environment: Mapping[str, str], parallel_tasks: int
) -> LoadOptions:
    usable = len(os.sched_getaffinity(0))
    return LoadOptions(
        device=options.device,
        dtype=options.dtype,
        max_length=options.max_length,
        threads=device.threads(environment, usable=usable, parallel_tasks=parallel_tasks),
    )
