"""List the settings of a run by the paths that a configuration gives them."""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import json

from hpc.run.cluster.resources import Cluster
from hpc.run.retry_policy import RetryPolicy
from pipeline.classifiers.options import Options
from pipeline.config.keys import fields_to_json
from pipeline.config.notify_settings import NotifySettings
from pipeline.config.sections import CheckpointSettings
from pipeline.config.session_limits import SessionLimits
from pipeline.run_files.amendments import Change
from pipeline.run_files.portable_paths import with_real_paths


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as JSON has it, and where the manifest keeps it."""

    place: str
    value: object


Settings = Mapping[str, Setting]


def classifier_settings(options: Options) -> Settings:
    """Return a classifier's options. A key that the manifest leaves out has its default."""
    values = {**fields_to_json(options), **options.to_json()}
    return _settings("classifier", "classifier.", values)


def cluster_settings(cluster: Cluster) -> Settings:
    """Return where tasks and caretakers run, and what they request."""
    own = fields_to_json(cluster)
    del own["resources"], own["caretaker"]
    return {
        **_settings("cluster", "cluster.", own),
        **_settings("cluster", "cluster.resources.", fields_to_json(cluster.resources)),
        **_settings("cluster.caretaker", "cluster.caretaker.", fields_to_json(cluster.caretaker)),
    }


def retry_settings(retry: RetryPolicy) -> Settings:
    """Return how far each remedy may go."""
    return _settings("retry", "retry.", fields_to_json(retry))


def notify_settings(notify: NotifySettings) -> Settings:
    """Return the command that is run for events of the run."""
    plain = json.decode(json.encode(fields_to_json(notify)), type=dict[str, object])
    # A command is no path, although it may begin with one.
    return {f"notify.{name}": Setting(f"notify.{name}", value) for name, value in plain.items()}


def checkpoint_settings(checkpoint: CheckpointSettings) -> Settings:
    """Return how often a task writes a checkpoint part."""
    return _settings("checkpoint", "checkpoint_", fields_to_json(checkpoint))


def storage_settings(*, trust_group: bool | None, layout: str, limits: SessionLimits) -> Settings:
    """Return who may write to the run, where its labels go, and what DuckDB may take.

    Of the section, no other key can be corrected.
    """
    return {
        **_settings("storage", "", {"trust_group": trust_group, "layout": layout}),
        **_settings("storage", "session.", fields_to_json(limits)),
    }


def difference(now: Settings, before: Settings, after: Settings) -> tuple[Change, ...]:
    """Return what has another value in `after` than in `before`.

    Args:
        now: the settings that hold, for the old values.
        before: the same, without what the correction does not touch.
        after: the settings with the correction.
    """
    return tuple(
        Change(
            key=key,
            place=setting.place,
            old=now[key].value if key in now else None,
            new=setting.value,
        )
        for key, setting in after.items()
        if key not in before or before[key].value != setting.value
    )


def _settings(path: str, place: str, values: Mapping[str, object]) -> Settings:
    # Through JSON, so that they compare with what a file holds.
    plain = with_real_paths(json.decode(json.encode(values), type=dict[str, object]))
    return {f"{path}.{name}": Setting(f"{place}{name}", value) for name, value in plain.items()}
