"""Plan the files of a new project, as values, before any of them is written."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hpc.config.run_config import ConfigurationFile
from hpc.initialize.files.commented_keys import comment, commented_keys, indent
from hpc.initialize.files.names import (
    CONFIGURATION_SCHEMA,
    GITIGNORE,
    TEMPLATE,
    TEMPLATE_SCHEMA,
    configuration_name,
    prompt_name,
)
from hpc.initialize.questions.interview import Answers
from hpc.run.cluster.resources import ClusterSection, ClusterTemplate, ExecutorName
from pipeline.classifiers.options import Options
from pipeline.config.keys import keys_of, section_in
from pipeline.config.sections import StorageSection

_TYPE = "type"
_LEGEND = "A key behind # has its default. Remove the # to set it."


class Writing(StrEnum):
    """What happens to a file that is there already."""

    NEW = "new"
    """It must not be there, or it is kept under another name first."""
    APPEND = "append"
    """It gets more lines."""
    KEEP = "keep"
    """It stays as it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedFile:
    """A file to write."""

    name: str
    """Its path, relative to the project's folder."""
    text: str
    writing: Writing = Writing.NEW


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a plan depends on beside the answers."""

    options_type: type[Options]
    """The declared keys of the classifier."""
    configuration_schema: str
    template_schema: str
    """The schemas as JSON."""
    is_in_repository: bool
    """Whether the project's folder is in a git repository."""
    ignored: frozenset[str] = frozenset()
    """The lines of the folder's .gitignore."""
    has_ignore_file: bool = False
    """Whether there is one."""


def plan_files(answers: Answers, surroundings: Surroundings) -> tuple[PlannedFile, ...]:
    """Return the files of a new project, the configuration first."""
    files = [
        PlannedFile(
            name=configuration_name(answers.name),
            text=_configuration(answers, surroundings.options_type),
        )
    ]
    if answers.resources is not None:
        files.append(
            PlannedFile(name=TEMPLATE, text=_template(answers.executor, answers.resources))
        )
    if answers.classifier.prompt is not None:
        files.append(PlannedFile(name=prompt_name(answers.name), text=answers.classifier.prompt))
    schemas = {
        CONFIGURATION_SCHEMA: surroundings.configuration_schema,
        TEMPLATE_SCHEMA: surroundings.template_schema,
    }
    files += [
        PlannedFile(name=name, text=text, writing=Writing.KEEP) for name, text in schemas.items()
    ]
    lines = [line for line in _ignored_lines(answers) if line not in surroundings.ignored]
    if surroundings.is_in_repository and lines:
        writing = Writing.APPEND if surroundings.has_ignore_file else Writing.NEW
        text = "\n".join(["# Of hpc: data, labels and keys", *lines]) + "\n"
        files.append(PlannedFile(name=GITIGNORE, text=text, writing=writing))
    return tuple(files)


def _configuration(answers: Answers, options_type: type[Options]) -> str:
    file = configuration_name(answers.name)
    lines = [
        f"# yaml-language-server: $schema={CONFIGURATION_SCHEMA}",
        f"# Labels by the classifier {answers.classifier.kind}. Written by hpc init.",
        f"#   hpc check --config {file}",
        f"#   hpc submit --config {file} --dry-run",
        f"#   hpc submit --config {file}",
        f"# {_LEGEND}",
    ]
    keys = keys_of(ConfigurationFile)
    sections: Mapping[str, Collection[str]] = {
        "backlog": _section_of("backlog", _backlog_values(answers)),
        "sharding": _section_of("sharding", _sharding_values(answers)),
        "classifier": _classifier(answers, options_type),
        "cluster": commented_keys(
            ClusterSection,
            {"executor": answers.executor.value, "template": answers.template},
            without=keys_of(ClusterTemplate),
        ),
    }
    for name, key in keys.items():
        lines += ["", *comment(key.description)]
        if name == "name":
            lines.append(f"name: {answers.name}")
        else:
            inner = sections[name] if name in sections else _section_of(name, {})
            lines += [f"{name}:", *indent(list(inner))]
    return "\n".join(lines) + "\n"


def _section_of(name: str, values: Mapping[str, object]) -> list[str]:
    section = section_in(keys_of(ConfigurationFile)[name].annotation)
    assert section is not None, f"{name} is a section"
    return commented_keys(section, values)


def _backlog_values(answers: Answers) -> dict[str, object]:
    backlog = answers.source.backlog
    table = {} if backlog.table is None else {"table": backlog.table}
    where = {"where": backlog.where} if backlog.where else {}
    return {"source": backlog.source, **table, "columns": backlog.columns.to_json(), **where}


def _sharding_values(answers: Answers) -> dict[str, object]:
    rows = answers.classifier.rows_per_shard
    return {} if rows is None else {"rows_per_shard": rows}


def _classifier(answers: Answers, options_type: type[Options]) -> list[str]:
    return [
        f"{_TYPE}: {answers.classifier.kind}",
        *commented_keys(options_type, answers.classifier.values),
    ]


def _template(executor: ExecutorName, resources: Mapping[str, object]) -> str:
    is_used = executor is ExecutorName.SLURM
    use = (
        "Several configurations may share it."
        if is_used
        else "It is used once cluster.executor is slurm; tasks on this machine request nothing."
    )
    lines = [
        f"# yaml-language-server: $schema={TEMPLATE_SCHEMA}",
        *comment(f"What one task requests from Slurm. Written by hpc init. {use}"),
        f"# {_LEGEND}",
        "",
        *commented_keys(ClusterTemplate, resources),
    ]
    return "\n".join(lines) + "\n"


def _ignored_lines(answers: Answers) -> Iterator[str]:
    """Yield the lines of .gitignore: what holds posts, labels or a key."""
    storage = StorageSection()
    yield f"/{storage.run_root}/"
    yield f"/{storage.database}*"
    for name in (answers.source.backlog.source, answers.classifier.key.file or "/"):
        if not name.startswith(("/", "~", "..")):
            is_glob = name != answers.source.facts.source or answers.source.facts.files > 1
            yield f"/{name}" if is_glob else f"/{_as_pattern(name)}"


def _as_pattern(name: str) -> str:
    """Return a path as a pattern of .gitignore, which cannot hold a line break."""
    escaped = re.sub(r"[*?\[\]\\ ]", r"\\\g<0>", name)
    return re.sub(r"[\r\n]", "?", escaped)
