"""Check the corrected values of one section, and return what they change about a run."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hpc.config.correctable_keys import objection_to
from hpc.config.recorded_settings import checkpoint_of, options_of, storage_settings_of
from hpc.config.settings import (
    checkpoint_settings,
    classifier_settings,
    cluster_settings,
    difference,
    notify_settings,
    retry_settings,
    storage_settings,
)
from hpc.run.cluster import resources
from hpc.run.cluster.resources import ClusterSection
from hpc.run.model.run import Run
from hpc.run.retry_policy import RetryPolicy
from pipeline.classifiers import frozen_classifier, registry
from pipeline.config.check import Problems, check, check_record
from pipeline.config.input_files import InputFiles
from pipeline.config.notify_settings import NotifySettings
from pipeline.config.sections import CheckpointSettings, StorageSection
from pipeline.messages.options import OVERRIDES
from pipeline.run_files.amendments import Change


def _correct_classifier(
    run: Run, before: Mapping[str, Any], after: Mapping[str, Any], problems: Problems
) -> tuple[Change, ...]:
    now = options_of(run)
    # Without a value, a key has its default, as in a configuration. In a record, null is a value.
    given = {name: value for name, value in after.items()
             if value is not None or before.get(name) is None}  # fmt: skip
    options = check_record(
        type(now), given, source=str(OVERRIDES), path=frozen_classifier.SECTION, problems=problems
    )
    if options is None:
        return ()
    inputs = InputFiles(
        source=str(OVERRIDES),
        path=frozen_classifier.SECTION,
        folders=(Path.cwd(),),
        problems=problems,
    )
    frozen = registry.load(run.manifest.classifier[frozen_classifier.TYPE]).refreeze(
        options, now, inputs
    )
    settings = classifier_settings(now)
    changes = difference(settings, settings, classifier_settings(frozen))
    for change in changes:
        if objection := objection_to(change.key, type(now)):
            problems.add(str(OVERRIDES), change.key, objection)
    return changes


def _correct_cluster(
    run: Run, before: Mapping[str, Any], after: Mapping[str, Any], problems: Problems
) -> tuple[Change, ...]:
    """Return the changes for the tasks, and for caretakers that follow the tasks."""
    corrected = check(
        ClusterSection, after, source=str(OVERRIDES), path="cluster", problems=problems
    )
    if corrected is None:
        return ()
    now = cluster_settings(run.cluster)
    # What the way through a section changes by itself is no correction.
    untouched = check(
        ClusterSection, before, source=str(OVERRIDES), path="cluster", problems=Problems()
    )
    resolved = partial(resources.resolve, slurm_grace_seconds=run.cluster.grace_seconds)
    unchanged = cluster_settings(resolved(untouched)) if untouched else now
    return difference(now, unchanged, cluster_settings(resolved(corrected)))


def _correct_retry(
    run: Run, before: Mapping[str, Any], after: Mapping[str, Any], problems: Problems
) -> tuple[Change, ...]:
    corrected = check(RetryPolicy, after, source=str(OVERRIDES), path="retry", problems=problems)
    now = retry_settings(run.retry)
    return difference(now, now, retry_settings(corrected)) if corrected else ()


def _correct_notify(
    run: Run, before: Mapping[str, Any], after: Mapping[str, Any], problems: Problems
) -> tuple[Change, ...]:
    corrected = check(
        NotifySettings, after, source=str(OVERRIDES), path="notify", problems=problems
    )
    now = notify_settings(run.notify)
    return difference(now, now, notify_settings(corrected)) if corrected else ()


def _correct_checkpoint(
    run: Run, before: Mapping[str, Any], after: Mapping[str, Any], problems: Problems
) -> tuple[Change, ...]:
    corrected = check(
        CheckpointSettings, after, source=str(OVERRIDES), path="checkpoint", problems=problems
    )
    now = checkpoint_settings(checkpoint_of(run))
    return difference(now, now, checkpoint_settings(corrected)) if corrected else ()


def _correct_storage(
    run: Run, before: Mapping[str, Any], after: Mapping[str, Any], problems: Problems
) -> tuple[Change, ...]:
    # An override without a value means the default.
    given = {name: value for name, value in after.items() if value is not None}
    corrected = check(
        StorageSection, given, source=str(OVERRIDES), path="storage", problems=problems
    )
    now = storage_settings_of(run)
    if corrected is None:
        return ()
    after = storage_settings(
        trust_group=corrected.trust_group,
        layout=corrected.layout,
        limits=corrected.resolve().limits,
    )
    return difference(now, now, after)


_CORRECT = {
    "classifier": _correct_classifier,
    "cluster": _correct_cluster,
    "notify": _correct_notify,
    "retry": _correct_retry,
    "checkpoint": _correct_checkpoint,
    "storage": _correct_storage,
}


def correct_section(
    section: str,
    run: Run,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    problems: Problems,
) -> tuple[Change, ...]:
    """Return what other values of one section change about a run.

    Args:
        section: the section's key.
        run: the run to correct.
        before: the section's values as the run has them.
        after: the same with the corrections.
        problems: collects what is wrong with them, and corrections that are not allowed.
    """
    return _CORRECT[section](run, before, after, problems)
