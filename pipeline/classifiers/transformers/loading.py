"""Load the configured model on the node, and test it."""

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
    """A model that is ready to label."""

    model: SequenceModel
    """The model on its device."""

    labels: LabelColumns
    """Its columns."""

    name: str
    """What labels: the model's name, its exact revision and its number format."""


def load(
    options: TransformersOptions, environment: Mapping[str, str], parallel_tasks: int
) -> Loaded:
    """Load the model, and test it with two posts.

    Args:
        options: the classifier's options.
        environment: the task's environment variables.
        parallel_tasks: how many tasks share the machine outside Slurm.

    Raises:
        TaskError: the model cannot be used; the message says what to do.
        OSError: a file cannot be read.
    """
    name, revision = options.model, options.revision or ""
    local = revision.startswith("sha256:")
    folder = Path(name) if local else hub.fetch(name, revision)
    try:
        if local:
            _check_files(folder, revision)
        description = describe(folder, options.multi_label)
        labels = label_columns.label_columns(description, options.labels)
        load_options = _load_options(options, environment, parallel_tasks)
        model = SequenceModel(folder, load_options, multi_label=description.multi_label)
        self_test(model, len(description.labels))
    except BadModel as problem:
        raise TaskError(Cause.REFUSED, f"the model {name} cannot be used: {problem}") from problem
    return Loaded(
        model=model,
        labels=labels,
        name=f"{folder.name if local else name}@{revision} {model.dtype}",
    )


def _check_files(folder: Path, planned: str) -> None:
    if not folder.is_dir():
        raise BadModel("this node has no such folder: put it on a file system that all nodes see")
    if f"sha256:{fingerprint(folder)}" != planned:
        raise BadModel(
            "its files have changed since the run was planned: restore them, or submit a new run"
        )


def _load_options(
    options: TransformersOptions, environment: Mapping[str, str], parallel_tasks: int
) -> LoadOptions:
    usable = len(os.sched_getaffinity(0))
    return LoadOptions(
        device=options.device,
        dtype=options.dtype,
        max_length=options.max_length,
        threads=device.threads(environment, usable=usable, parallel_tasks=parallel_tasks),
    )
