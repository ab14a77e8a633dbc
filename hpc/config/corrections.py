"""What a person wants to correct about a submitted run, and whether that is allowed.

A key may be corrected if it changes no label, as its declaration says, and decides neither which
posts the run has nor where the run is.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from hpc.config import run_config
from hpc.config.run_config import Config, ConfigurationFile
from hpc.config.settings import (
    Settings,
    checkpoint_settings,
    classifier_settings,
    cluster_settings,
    difference,
    notify_settings,
    retry_settings,
    storage_settings,
)
from hpc.run.cluster import resources
from hpc.run.cluster.resources import Cluster, ClusterSection, ExecutorName
from hpc.run.model.run import Run
from hpc.run.retry_policy import RetryPolicy
from pipeline.classifiers import frozen_classifier, registry
from pipeline.classifiers.options import Options
from pipeline.config import yaml_file
from pipeline.config.check import Problems, check, check_record
from pipeline.config.input_files import InputFiles
from pipeline.config.keys import Section, fields_to_json, keys_of, section_in
from pipeline.config.notify_settings import NotifySettings
from pipeline.config.sections import Backlog, CheckpointSettings, Sharding, StorageSection
from pipeline.config.session_limits import SessionLimits
from pipeline.errors import InputError
from pipeline.messages.options import OVERRIDES
from pipeline.run_files.amendments import Change
from pipeline.run_files.manifest import FILE_NAME
from pipeline.text import did_you_mean

# In a run's folder: the configuration as it was given, after a line for each override.
CONFIG = "config.yaml"
GIVEN_OVERRIDE = "# --set "
_CHANGES_LABELS = (
    "changes labels, so this run keeps it; to use another value, submit a new run (under a new "
    "name, or superseding the labels of this one)"
)
_STAYS = "this run stays where it is; the next hpc submit uses it"
_FROZEN = {
    "name": "this run's labels belong to its name; to use another one, submit a new run",
    "backlog": "this run's posts are chosen already; the next hpc submit uses it",
    "sharding": "this run's posts are in shards already; the next hpc submit uses it",
    "storage.run_root": _STAYS,
    "storage.database": _STAYS,
    "cluster.cluster_name": "a run keeps its cluster; to use another one, submit a new run",
    "cluster.executor": "a run keeps its executor; to use another one, submit a new run",
    "cluster.template": "set its keys one by one, or correct the run by an edited configuration",
}
# What the shell, this Python and this machine decide at submit, if the configuration does not.
_BY_SHELL = ("account", "partition", "qos", "python")
_BY_PLACE = ("cluster_name", "max_parallel", "grace_seconds")
# A correction of one key takes the other one back.
_ALTERNATIVES = (
    *resources.ALTERNATIVES,
    ("max_time", "max_time_min"),
    ("api_key_env", "api_key_file"),
)


# What follows another key unless a configuration sets it.
_FOLLOWERS = (("classifier.price.cached", "classifier.price.prompt"),)

# What `_changed_frozen_keys` leaves to other comparisons.
_COMPARED_ELSEWHERE = ("min_text_length", "trust_group", "layout", *SessionLimits.__struct_fields__)


def corrections_by_key(run: Run, overrides: Sequence[str]) -> tuple[Change, ...]:
    """Return what `--set a.b=value`, given several times, changes about a run.

    Raises:
        InputError: a key is unknown, has a wrong value, or must not be corrected.
    """
    options = _options_of(run)
    problems = Problems()
    paths = [override.partition("=")[0].strip() for override in overrides]
    for path in paths:
        if objection := _objection(path, type(options)):
            problems.add(str(OVERRIDES), path, objection)
    problems.raise_any()
    before: dict[str, Any] = {
        "classifier": fields_to_json(options),
        "checkpoint": fields_to_json(_checkpoint_of(run)),
        "cluster": resources.section_of(run.cluster),
        "notify": fields_to_json(run.notify),
        "retry": fields_to_json(run.retry),
        "storage": {
            "trust_group": run.manifest.trust_group,
            "layout": run.manifest.layout,
            **fields_to_json(run.limits),
        },
    }
    after = _overridden(before, overrides, paths)
    changes: list[Change] = []
    for section in dict.fromkeys(path.partition(".")[0] for path in paths):
        changes += _CORRECT[section](run, before[section], after[section], problems)
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
    problems = Problems()
    frozen = config.classifier.freeze(problems)
    problems.raise_any()
    kind = run.manifest.classifier[frozen_classifier.TYPE]
    if frozen.kind != kind:
        problems.add(str(path), f"classifier.{frozen_classifier.TYPE}", _CHANGES_LABELS)
        problems.raise_any()
    now = _settings_of(run)
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
        if objection := _objection(key, type(frozen.options)):
            problems.add(str(path), key, objection)
    problems.raise_any()
    return changes


def _corrected_trust(config: Config, run: Run) -> bool | None:
    """Return whether a run trusts the group, by a configuration that may not say so.

    A run from before there was the key has no value until somebody asks for one.
    """
    is_undecided = run.manifest.trust_group is None and not config.storage.trust_group
    return None if is_undecided else config.storage.trust_group


def _objection(path: str, options: type[Options]) -> str:
    """Return why a key must not be corrected; '' if it may be, or if the checks report it."""
    section, _, rest = path.partition(".")
    known = keys_of(ConfigurationFile)
    if section not in known:
        return f"unknown key{did_you_mean(section, list(known))}"
    if _changes_labels(section, rest, options):
        return _CHANGES_LABELS
    for frozen, why in _FROZEN.items():
        if path == frozen or path.startswith(f"{frozen}."):
            return why
    return "" if rest else f"holds several keys; name one of them: {section}.KEY=VALUE"


def _changes_labels(section: str, rest: str, options: type[Options]) -> bool:
    """Tell whether a key, or one that it lies in, is declared as one that changes labels."""
    if section == frozen_classifier.SECTION and rest.partition(".")[0] == frozen_classifier.TYPE:
        return True
    kind = options if section == frozen_classifier.SECTION else _section_type(section)
    for name in filter(None, rest.split(".")):
        key = keys_of(kind).get(name) if kind else None
        if key is None:
            return False
        if key.facts.changes_labels:
            return True
        kind = section_in(key.annotation)
    return False


def _section_type(section: str) -> type | None:
    return section_in(keys_of(ConfigurationFile)[section].annotation)


def _overridden(
    values: Mapping[str, Any], overrides: Sequence[str], paths: Sequence[str]
) -> dict[str, Any]:
    """Return the values with the overrides, and without what these replace."""
    after = deepcopy(dict(values))
    for path in paths:
        parent, _, name = path.rpartition(".")
        for alternatives in _ALTERNATIVES:
            for other in alternatives:
                if name in alternatives and f"{parent}.{other}" not in paths:
                    _remove(after, f"{parent}.{other}")
    for follower, leader in _FOLLOWERS:
        value = _value_at(values, leader)
        if leader in paths and value is not None and _value_at(values, follower) == value:
            _remove(after, follower)
    for override in overrides:
        yaml_file.apply_override(after, override)
    return after


def _value_at(values: Mapping[str, Any], path: str) -> object:
    inner: Any = values
    for name in path.split("."):
        inner = inner.get(name) if isinstance(inner, Mapping) else None
    return inner


def _remove(values: dict[str, Any], path: str) -> None:
    *parents, last = path.split(".")
    inner: Any = values
    for parent in parents:
        inner = inner.get(parent) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        inner.pop(last, None)


def _correct_classifier(
    run: Run, before: Mapping[str, Any], after: Mapping[str, Any], problems: Problems
) -> tuple[Change, ...]:
    now = _options_of(run)
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
        if objection := _objection(change.key, type(now)):
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
    now = checkpoint_settings(_checkpoint_of(run))
    return difference(now, now, checkpoint_settings(corrected)) if corrected else ()


def _correct_storage(
    run: Run, before: Mapping[str, Any], after: Mapping[str, Any], problems: Problems
) -> tuple[Change, ...]:
    # An override without a value means the default.
    given = {name: value for name, value in after.items() if value is not None}
    corrected = check(
        StorageSection, given, source=str(OVERRIDES), path="storage", problems=problems
    )
    now = _storage_settings_of(run)
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


def _settings_of(run: Run) -> Settings:
    return {
        **classifier_settings(_options_of(run)),
        **checkpoint_settings(_checkpoint_of(run)),
        **cluster_settings(run.cluster),
        **notify_settings(run.notify),
        **retry_settings(run.retry),
        **_storage_settings_of(run),
    }


def _storage_settings_of(run: Run) -> Settings:
    return storage_settings(
        trust_group=run.manifest.trust_group, layout=run.manifest.layout, limits=run.limits
    )


def _options_of(run: Run) -> Options:
    values = dict(run.manifest.classifier)
    options = registry.load(values.pop(frozen_classifier.TYPE)).options_type
    return options.from_manifest(values, source=str(run.folder / FILE_NAME))


def _checkpoint_of(run: Run) -> CheckpointSettings:
    return CheckpointSettings(
        rows=run.manifest.checkpoint_rows, seconds=run.manifest.checkpoint_seconds
    )


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
    given = _given_configuration(run)
    for name, kind in (("backlog", Backlog), ("sharding", Sharding), ("storage", StorageSection)):
        then, now = _checked(kind, given.get(name)), _checked(kind, raw.get(name))
        if then is None or now is None:
            continue  # the configuration of an earlier version
        ours, theirs = fields_to_json(then), fields_to_json(now)
        changed += [
            f"{name}.{key}"
            for key in ours
            if ours[key] != theirs[key] and key not in _COMPARED_ELSEWHERE
        ]
    return changed


def recorded_backlog(run: Run) -> Backlog | None:
    """Return where the posts of a run came from, as its configuration says; None if it is gone."""
    section = _checked(Backlog, _given_configuration(run).get("backlog"))
    return section if isinstance(section, Backlog) else None


def _checked(kind: type[Section], values: object) -> Section | None:
    return check(kind, values, source="", problems=Problems())


def _given_configuration(run: Run) -> Mapping[str, Any]:
    """Return the configuration as it was given, with its overrides; empty if it cannot be read."""
    try:
        path = run.folder / CONFIG
        lines = path.read_text(encoding="utf-8").splitlines()
        overrides = takewhile(lambda line: line.startswith(GIVEN_OVERRIDE), lines)
        return yaml_file.read_mapping(
            path, tuple(line.removeprefix(GIVEN_OVERRIDE) for line in overrides)
        )
    except (OSError, InputError):
        return {}
