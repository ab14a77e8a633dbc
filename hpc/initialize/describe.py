"""Describe a project that was just started, for people and for programs."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpc.display.blocks import Block, Line, Tone
from hpc.initialize.files.names import configuration_name, prompt_name
from hpc.initialize.models import is_known_guard
from hpc.initialize.project import Project
from hpc.run.cluster.resources import ExecutorName
from pipeline.service.address import is_loopback


def describe_project(project: Project) -> list[Block]:
    """Return what was written, what a person has to do, and the next command."""
    blocks: list[Block] = [Line("")]
    for name, aside in project.written.kept:
        blocks.append(Line(f"kept the old {name} as {aside}"))
    blocks.append(Line(f"wrote {', '.join(project.written.written)}", Tone.GOOD))
    blocks += map(Line, _notes(project))
    return [*blocks, *(Line(f"next: {command}") for command in next_commands(project))]


def _notes(project: Project) -> Iterator[str]:
    yield from _note_on_times(project)
    classifier = project.answers.classifier
    file = classifier.key.file
    if file is not None and not _key_exists(project, file):
        yield f"put the API key into {file}, which only you should be able to read"
    if classifier.prompt is not None:
        yield f"edit {prompt_name(project.answers.name)}: it tells the model what each label means"
    model = str(classifier.values.get("model", ""))
    if classifier.kind == "guard" and not is_known_guard(model):
        yield (
            f"{model} gets the same requests as Llama Guard: check messages and words in "
            f"{configuration_name(project.answers.name)}"
        )
    address = str(classifier.values.get("base_url", ""))
    if is_loopback(address) and project.answers.executor is ExecutorName.SLURM:
        yield (
            f"{address} is only on this machine: tasks on other nodes need an address with the "
            "name of the server's node"
        )
    if project.answers.resources is None:
        yield f"the template {project.answers.template} stays as it is"


def _note_on_times(project: Project) -> Iterator[str]:
    """Yield what to know about rows without a time, which stop every submit."""
    source, file = project.answers.source, configuration_name(project.answers.name)
    if not source.lacks_times:
        return
    time = source.backlog.columns.preprocessing_timestamp
    if source.backlog.where:
        yield (
            f"some rows have no time in {time}: backlog.where in {file} leaves them out "
            f"({source.backlog.where})"
        )
    else:
        yield (
            f"some rows have no time in {time}: set backlog.where in {file} so that it leaves them "
            "out, or correct them. hpc check names the first"
        )


def next_commands(project: Project) -> list[str]:
    """Return what to type next, in order."""
    commands = []
    if project.folder != project.working_folder:
        commands.append(f"cd {shlex.quote(_relative(project))}")
    key = project.answers.classifier.key
    if key.file is not None:
        commands += _key_commands(key.file, exists=_key_exists(project, key.file))
    if key.env is not None and key.env not in project.variables:
        commands.append(f"read -rs {key.env} && export {key.env}   # type the key, then Enter")
    commands += project.answers.classifier.first_steps
    file = configuration_name(project.answers.name)
    return [*commands, f"hpc check --config {file}"]


def _relative(project: Project) -> str:
    if project.folder.is_relative_to(project.working_folder):
        return str(project.folder.relative_to(project.working_folder))
    return str(project.folder)


def _key_exists(project: Project, file: str) -> bool:
    return (project.folder / Path(file).expanduser()).exists()


def _key_commands(file: str, *, exists: bool) -> list[str]:
    if exists:
        return []
    name = (
        file if file.startswith("~/") and shlex.quote(file[2:]) == file[2:] else shlex.quote(file)
    )
    return [f"install -m 600 /dev/null {name} && nano {name}"]


def project_document(project: Project) -> dict[str, Any]:
    """Return the same as JSON."""
    answers = project.answers
    backlog, table = answers.source.backlog, answers.source.table
    return {
        "folder": str(project.folder),
        "configuration": configuration_name(answers.name),
        "template": answers.template,
        "files": list(project.written.written),
        "kept": dict(project.written.kept),
        "name": answers.name,
        "classifier": answers.classifier.kind,
        "source": {
            "path": backlog.source,
            "kinds": list(map(str, answers.source.facts.kinds)),
            "files": answers.source.facts.files,
            "table": backlog.table,
            "columns": backlog.columns.to_json(),
            "rows": table.rows,
            "rows_are_estimated": table.is_estimate,
        },
        "executor": answers.executor.value,
        "resources": dict(answers.resources) if answers.resources is not None else None,
        "next": next_commands(project),
    }
