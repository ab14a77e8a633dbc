"""Load the configuration of a run: every section is declared, and checked at the edge."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta

from hpc.config.grace_time import MOUNTS, default_grace_seconds
from hpc.config.storage_paths import check_storage
from hpc.run.cluster import resources
from hpc.run.cluster.resources import Cluster, ClusterSection
from hpc.run.retry_policy import RetryPolicy
from pipeline.classifiers.configured_classifier import ConfiguredClassifier, check_classifier
from pipeline.config import yaml_file
from pipeline.config.check import Problems, check
from pipeline.config.keys import Section, expects, key, label_key
from pipeline.config.notify_settings import NotifySettings
from pipeline.config.sections import (
    Backlog,
    CheckpointSettings,
    Sharding,
    Storage,
    StorageSection,
)
from pipeline.messages.options import OVERRIDES

T = TypeVar("T", bound=Section)

TableName = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_]{0,40}$(?!\n)"),
    expects("lower-case letters, digits and _ (it names a table)"),
]


class ConfigurationFile(Section, frozen=True, kw_only=True):
    """A configuration: one classifier, one backlog, and where and how to run it."""

    name: Annotated[TableName, key("Name of the labels: they land in the table `labels_<name>`.")]
    backlog: Annotated[Backlog, key("Where the posts are, and which of them to label.")]
    sharding: Annotated[Sharding, key("How posts are cut into shards.")] = Sharding()
    classifier: Annotated[
        Mapping[str, object],
        expects("keys of its own, below"),
        label_key("Which classifier labels the posts, with its options."),
    ]
    checkpoint: Annotated[CheckpointSettings, key("How often a task writes a checkpoint part.")] = (
        CheckpointSettings()
    )
    cluster: Annotated[ClusterSection, key("Where and with which resources tasks run.")]
    retry: Annotated[RetryPolicy, key("How far each remedy may go.")] = RetryPolicy()
    notify: Annotated[NotifySettings, key("The command that is run for events of the run.")] = (
        NotifySettings()
    )
    storage: Annotated[StorageSection, key("Where runs and labels go.")] = StorageSection()


class _OnlyName(Section, frozen=True, kw_only=True):
    name: TableName


class _OnlyBacklog(Section, frozen=True, kw_only=True):
    backlog: Backlog


class _OnlyStorage(Section, frozen=True, kw_only=True):
    storage: StorageSection = StorageSection()


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One run's configuration: templates merged, defaults filled in, paths absolute.

    `hpc.planning.run_spec.validate` reads the files that `classifier` names.
    """

    name: str
    backlog: Backlog
    sharding: Sharding
    classifier: ConfiguredClassifier
    checkpoint: CheckpointSettings
    cluster: Cluster
    retry: RetryPolicy
    notify: NotifySettings
    storage: Storage
    storage_beside_file: Storage
    """Where runs and labels would be if relative paths began in the folder of the file."""
    given_cluster: Mapping[str, object]
    """The section `cluster` as it is given, with its template, and without any default."""
    file: str
    """The file that it was read from, as messages name it."""
    overridden: tuple[str, ...]
    """The paths of the keys that overrides set."""
    overrides: tuple[str, ...] = ()
    """The overrides, such as `name=trial`."""

    @property
    def to_paste(self) -> str:
        """Return what follows `--config` in a command about this configuration."""
        settings = (f" {OVERRIDES.flag} {shlex.quote(text)}" for text in self.overrides)
        return f"{shlex.quote(self.file)}{''.join(settings)}"

    def new_problems(self) -> Problems:
        """Return a collection that knows which values do not come from the file."""
        return Problems(file=self.file, overridden=self.overridden)


def load(path: Path, overrides: tuple[str, ...] = (), *, mounts: Path = MOUNTS) -> Config:
    """Read a YAML file, apply `a.b=value` overrides, and check every key.

    Paths of inputs are tried from the file's folder, then from the working folder; outputs are
    relative to the working folder.

    Args:
        path: the file.
        overrides: as the command line has them.
        mounts: the file in which the kernel lists the mounts; the default grace time depends on
            the file system of the run root.

    Raises:
        InputError: names the file and the key's path of everything that is wrong.
    """
    values = yaml_file.read_mapping(path, overrides)
    folders = (path.parent.absolute(), Path.cwd())
    overridden = yaml_file.overridden_paths(overrides)
    problems = Problems(file=str(path), overridden=overridden)
    file = check(ConfigurationFile, values, source=str(path), problems=problems)
    classifier = check_classifier(
        values.get("classifier"), source=str(path), folders=folders, problems=problems
    )
    cluster = resources.with_template(
        values.get("cluster"), source=str(path), folders=folders, problems=problems
    )
    if problems.found and classifier:
        classifier.freeze(problems)  # reports what is wrong with its files and API key
    if file:
        executor = file.cluster.executor
        check_storage(file.storage.resolve(), executor, source=str(path), problems=problems)
    problems.raise_any()
    assert file and classifier and cluster
    storage = file.storage.resolve()
    grace_seconds = default_grace_seconds(storage.run_root, mounts)
    return Config(
        name=file.name,
        backlog=file.backlog,
        sharding=file.sharding,
        classifier=classifier,
        checkpoint=file.checkpoint,
        cluster=resources.resolve(cluster[0], slurm_grace_seconds=grace_seconds),
        given_cluster=cluster[1],
        retry=file.retry,
        notify=file.notify,
        storage=storage,
        storage_beside_file=file.storage.resolve(path.parent),
        file=str(path),
        overridden=overridden,
        overrides=overrides,
    )


def load_storage(path: Path) -> Storage:
    """Read where a configuration's runs and labels are, and nothing else of it.

    Raises:
        InputError: the file cannot be read, or its section `storage` is wrong.
    """
    return _load_only(_OnlyStorage, path).storage.resolve()


def load_name(path: Path) -> str:
    """Read a configuration's name, and nothing else of it.

    Raises:
        InputError: the file cannot be read, or its name is wrong.
    """
    return _load_only(_OnlyName, path).name


def load_backlog(path: Path) -> Backlog:
    """Read where a configuration's posts are, and nothing else of it.

    Raises:
        InputError: the file cannot be read, or its section `backlog` is wrong.
    """
    return _load_only(_OnlyBacklog, path).backlog


def _load_only(part: type[T], path: Path) -> T:
    """Return a part of a configuration, and ignore what is wrong with the rest."""
    values, problems = yaml_file.read_mapping(path), Problems()
    given = {name: value for name, value in values.items() if name in part.__struct_fields__}
    found = check(part, given, source=str(path), problems=problems)
    problems.raise_any()
    assert found
    return found
