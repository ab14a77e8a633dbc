"""The configuration of a run: parsed once at the edge into frozen values, then trusted."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import strict_yaml
from pipeline.config.section import Section
from pipeline.config.strict_yaml import InvalidYaml
from pipeline.errors import InputError

SOURCE_COLUMNS = ("uri", "text", "preprocessing_timestamp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """Where the posts are. `columns` maps our three names to the source's."""

    source: str
    table: str | None
    columns: dict[str, str]
    where: str | None
    min_text_length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharding:
    """Exactly one of the two is set."""

    rows_per_shard: int | None
    shards: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointSettings:
    """A part is written after so many new rows or seconds, whichever comes first."""

    rows: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    run_root: Path
    database: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One run's configuration. `classifier` and `cluster` are read by their own rooms."""

    name: str
    backlog: Backlog
    sharding: Sharding
    classifier: Section
    checkpoint: CheckpointSettings
    cluster: Section
    retry: Section
    storage: Storage
    effective: dict[str, Any]


def load(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Reads a YAML file and applies `a.b=value` overrides (values are YAML too).

    Relative input paths are tried from the file's folder, then from the working folder; outputs
    are relative to the working folder. Raises InputError, naming the file and the key's path.
    """
    values = _read_yaml(path)
    for override in overrides:
        _override(values, override)
    folders = (path.parent.absolute(), Path.cwd())
    return _parse(Section(values, path="", source=str(path), folders=folders), values)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = strict_yaml.read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the configuration {path} cannot be read: {error.strerror}") from None
    except (InvalidYaml, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} should be a mapping of keys; see the README's configuration")
    return values


def _override(values: dict[str, Any], override: str) -> None:
    keys, equals, text = override.partition("=")
    if not equals or not keys:
        raise InputError(f"--set {override!r}: should be like sharding.shards=10")
    *parents, last = keys.strip().split(".")
    inner: Any = values
    for parent in parents:
        if isinstance(inner, dict) and inner.get(parent) is None:
            inner[parent] = {}
        inner = inner[parent] if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
        raise InputError(f"--set {override!r}: {'.'.join(parents)} holds no keys")
    try:
        inner[last] = strict_yaml.read(text)
    except InvalidYaml as error:
        raise InputError(f"--set {override!r}: the value is not valid YAML: {error}") from None


def _parse(root: Section, effective: dict[str, Any]) -> Config:
    name = root.text("name")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise root.error(
            "name", f"should be lower-case letters, digits and _ (a table's name), not {name!r}"
        )
    config = Config(
        name=name,
        backlog=_backlog(root.section("backlog")),
        sharding=_sharding(root.section("sharding")),
        classifier=root.section("classifier"),
        checkpoint=_checkpoint(root.section("checkpoint")),
        cluster=root.section("cluster"),
        retry=root.section("retry"),
        storage=_storage(root.section("storage")),
        effective=effective,
    )
    root.done()
    return config


def _backlog(section: Section) -> Backlog:
    columns = section.section("columns")
    backlog = Backlog(
        source=section.text("source"),
        table=section.text("table", None),
        columns={name: columns.text(name, name) for name in SOURCE_COLUMNS},
        where=section.text("where", None),
        min_text_length=section.integer("min_text_length", 5),
    )
    columns.done()
    section.done()
    return backlog


def _sharding(section: Section) -> Sharding:
    rows = section.integer("rows_per_shard", None, least=1)
    shards = section.integer("shards", None, least=1)
    if rows and shards:
        raise section.error("shards", "give either rows_per_shard or shards, not both")
    section.done()
    return Sharding(rows_per_shard=rows or (None if shards else 10_000), shards=shards)


def _checkpoint(section: Section) -> CheckpointSettings:
    checkpoint = CheckpointSettings(
        rows=section.integer("rows", 500, least=1),
        seconds=section.time("seconds", 60.0),
    )
    section.done()
    return checkpoint


def _storage(section: Section) -> Storage:
    storage = Storage(
        run_root=Path(section.text("run_root", "runs")).expanduser().absolute(),
        database=Path(section.text("database", "labels.duckdb")).expanduser().absolute(),
    )
    section.done()
    return storage
