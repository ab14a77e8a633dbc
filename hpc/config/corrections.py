"""Find what a person wants to change about a submitted run: key by key, or by an edited file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from hpc.config import run_config
from hpc.config.correct_sections import correct_section
from hpc.config.correctable_keys import CHANGES_LABELS, objection_to
from hpc.config.override_values import override_values
from hpc.config.recorded_settings import (
    checked_section,
    checkpoint_of,
    given_configuration,
    options_of,
    settings_of,
)
from hpc.config.run_config import Config
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
from hpc.run.cluster.resources import Cluster, ExecutorName
from hpc.run.model.run import Run
from pipeline.classifiers import frozen_classifier
from pipeline.config import yaml_file
from pipeline.config.check import Problems
from pipeline.config.keys import fields_to_json
from pipeline.config.sections import Backlog, Sharding, StorageSection
from pipeline.config.session_limits import SessionLimits
from pipeline.messages.options import OVERRIDES
from pipeline.run_files.amendments import Change

# What the shell, this Python and this machine decide at submit, if the configuration does not.
_BY_SHELL = ("account", "partition", "qos", "python")
_BY_PLACE = ("cluster_name", "max_parallel", "grace_seconds")
# What `_changed_frozen_keys` leaves to other comparisons.
_COMPARED_ELSEWHERE = ("min_text_length", "trust_group", "layout", *SessionLimits.__struct_fields__)


def corrections_by_key(run: Run, overrides: Sequence[str]) -> tuple[Change, ...]:
    """Return what `--set a.b=value`, given several times, changes about a run.

    Raises:
        InputError: a key is unknown, has a wrong value, or must not be corrected.
    """
    options = options_of(run)
    problems = Problems()
    paths = yaml_file.overridden_paths(overrides)
    for path in paths:
        if objection := objection_to(path, type(options)):
            problems.add(str(OVERRIDES), path, objection)
    problems.raise_any()
    before: dict[str, Any] = {
        "classifier": fields_to_json(options),
        "checkpoint": fields_to_json(checkpoint_of(run)),
        "cluster": resources.section_of(run.cluster),
        "notify": fields_to_json(run.notify),
        "retry": fields_to_json(run.retry),
        "storage": {
            "trust_group": run.manifest.trust_group,
            "layout": run.manifest.layout,
            **fields_to_json(run.limits),
        },
    }
    after = override_values(before, overrides, paths)
    changes: list[Change] = []
    for section in dict.fromkeys(path.partition(".")[0] for path in paths):
        changes += correct_section(section, run, before[section], after[section], problems)
    problems.raise_any()
    return tuple(changes)


def corrections_by_file(
    run: Run, path: Path, overrides: tuple[str, ...] = ()
) -> tuple[Change, ...]:
    """Return what an edited configuration changes about a run.

    Raises:
        InputError: the configuration is wrong, or differs in a key that must not be corrected.
    """
    config = run_config.load(path, overrides)
    problems = config.new_problems()
    frozen = config.classifier.freeze(problems)
    problems.raise_any()
    kind = run.manifest.classifier[frozen_classifier.TYPE]
    if frozen.kind != kind:
        problems.add(str(path), f"classifier.{frozen_classifier.TYPE}", CHANGES_LABELS)
        problems.raise_any()
    now = settings_of(run)
    after = {
        **classifier_settings(frozen.options),
        **checkpoint_settings(config.checkpoint),
        **cluster_settings(_with_decisions_of_submit(config, run.cluster)),
        **notify_settings(config.notify),
        **retry_settings(config.retry),
        **storage_settings(
            trust_group=_corrected_trust(config, run),
            layout=config.storage.layout,
            limits=config.storage.limits,
        ),
    }
    changes = difference(now, now, after)
    raw = yaml_file.read_mapping(path, overrides)
    changed = [*(change.key for change in changes), *_changed_frozen_keys(run, config, raw)]
    for key in changed:
        if objection := objection_to(key, type(frozen.options)):
            problems.add(str(path), key, objection)
    problems.raise_any()
    return changes


def _corrected_trust(config: Config, run: Run) -> bool | None:
    """Return whether a run trusts the group, by a configuration that may not say so.

    A run from before there was the key has no value until somebody asks for one.
    """
    is_undecided = run.manifest.trust_group is None and not config.storage.trust_group
    return None if is_undecided else config.storage.trust_group


def _with_decisions_of_submit(config: Config, now: Cluster) -> Cluster:
    """Return the section with the run's own value of what it leaves to the shell and this Python.

    The next command may be typed in another shell, or by cron in none.
    """
    given = config.given_cluster
    by_shell = {key for key in _BY_SHELL if given.get(key) is None}
    own = given.get("caretaker")
    by_tasks = {key for key in by_shell if not (isinstance(own, Mapping) and own.get(key))}
    resources_ = {key: getattr(now.resources, key) for key in by_shell}
    caretaker = {key: getattr(now.caretaker, key) for key in by_tasks}
    kept: dict[str, Any] = {key: getattr(now, key) for key in _BY_PLACE if given.get(key) is None}
    if config.cluster.executor is not ExecutorName.LOCAL:
        kept.pop("max_parallel", None)
    return replace(
        config.cluster,
        **kept,
        resources=replace(config.cluster.resources, **resources_),
        caretaker=replace(config.cluster.caretaker, **caretaker),
    )


def _changed_frozen_keys(run: Run, config: Config, raw: Mapping[str, Any]) -> list[str]:
    """Return the keys that no run can change and that are not as the run was given them."""
    changed = [] if config.name == run.manifest.name else ["name"]
    if config.backlog.min_text_length != run.manifest.min_text_length:
        changed.append("backlog.min_text_length")
    given = given_configuration(run)
    for name, kind in (("backlog", Backlog), ("sharding", Sharding), ("storage", StorageSection)):
        then, now = checked_section(kind, given.get(name)), checked_section(kind, raw.get(name))
        if then is None or now is None:
            continue  # the configuration of an earlier version
        ours, theirs = fields_to_json(then), fields_to_json(now)
        changed += [
            f"{name}.{key}"
            for key in ours
            if ours[key] != theirs[key] and key not in _COMPARED_ELSEWHERE
        ]
    return changed
