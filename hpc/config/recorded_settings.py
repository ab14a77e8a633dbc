"""Return the settings that a run was given, from its records."""

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from hpc.config.settings import (
    Settings,
    checkpoint_settings,
    classifier_settings,
    cluster_settings,
    notify_settings,
    retry_settings,
    storage_settings,
)
from hpc.run.model.run import Run
from pipeline.classifiers import frozen_classifier, registry
from pipeline.classifiers.options import Options
from pipeline.config import yaml_file
from pipeline.config.check import Problems, check
from pipeline.config.keys import Section
from pipeline.config.sections import Backlog, CheckpointSettings
from pipeline.errors import InputError, UnreadableError
from pipeline.run_files.manifest import FILE_NAME

# In a run's folder: the configuration as it was given, after a line for each override.
CONFIG = "config.yaml"
GIVEN_OVERRIDE = "# --set "


def settings_of(run: Run) -> Settings:
    """Return every setting of a run that a correction may name."""
    return {
        **classifier_settings(options_of(run)),
        **checkpoint_settings(checkpoint_of(run)),
        **cluster_settings(run.cluster),
        **notify_settings(run.notify),
        **retry_settings(run.retry),
        **storage_settings_of(run),
    }


def storage_settings_of(run: Run) -> Settings:
    """Return those of the `storage:` section that a run records."""
    return storage_settings(
        trust_group=run.manifest.trust_group, layout=run.manifest.layout, limits=run.limits
    )


def options_of(run: Run) -> Options:
    """Return the options of a run's classifier, as its manifest has them."""
    values = dict(run.manifest.classifier)
    options = registry.load(values.pop(frozen_classifier.TYPE)).options_type
    return options.from_manifest(values, source=str(run.folder / FILE_NAME))


def checkpoint_of(run: Run) -> CheckpointSettings:
    """Return the `checkpoint:` section of a run."""
    return CheckpointSettings(
        rows=run.manifest.checkpoint_rows, seconds=run.manifest.checkpoint_seconds
    )


def recorded_backlog(run: Run) -> Backlog | None:
    """Return where the posts of a run came from, as its configuration says; None if it is gone."""
    section = checked_section(Backlog, given_configuration(run).get("backlog"))
    return section if isinstance(section, Backlog) else None


def checked_section(kind: type[Section], values: object) -> Section | None:
    """Return a section; None if this version cannot read it."""
    return check(kind, values, source="", problems=Problems())


def given_configuration(run: Run) -> Mapping[str, Any]:
    """Return the configuration as it was given, with its overrides; empty if it cannot be read."""
    try:
        path = run.folder / CONFIG
        lines = path.read_text(encoding="utf-8").splitlines()
        overrides = takewhile(lambda line: line.startswith(GIVEN_OVERRIDE), lines)
        return yaml_file.read_mapping(
            path, tuple(line.removeprefix(GIVEN_OVERRIDE) for line in overrides)
        )
    except (OSError, InputError, UnreadableError):
        return {}
