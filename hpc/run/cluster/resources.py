"""Declare the section `cluster`: a template for the cluster, overridden key by key."""

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from msgspec import field
from msgspec.structs import replace

from hpc.run.cluster.sbatch_options import names_one_cluster, objection
from hpc.run.cluster.slurm_time import TIME_IN_NOTATION, minutes_of
from pipeline.config import strict_yaml
from pipeline.config.check import Problems, check
from pipeline.config.input_files import InputFiles
from pipeline.config.keys import (
    Duration,
    DurationOrZero,
    Positive,
    PositiveNumber,
    Section,
    Text,
    Wrong,
    fields_to_json,
    key,
)
from pipeline.config.strict_yaml import InvalidYaml


@dataclass(frozen=True, kw_only=True, slots=True)
class _Defaults:
    """`max_parallel` None: as many as there are CPUs."""

    max_parallel: int | None
    poll_seconds: float


SLURM_DEFAULTS = _Defaults(max_parallel=8, poll_seconds=30.0)
LOCAL_DEFAULTS = _Defaults(max_parallel=None, poll_seconds=0.2)
# On this machine neither accounting nor files lag. With Slurm it depends on the file system.
LOCAL_GRACE_S = 0.0
# NFS shows a new file up to 60 s late (acdirmax), and one that was looked for in vain as well.
LONGEST_GRACE_S = 120.0


def _by_executor(slurm: float, local: float) -> str:
    return f"{slurm:g}; with `executor: local` {local:g}"


SbatchValue = str | int | float | bool | None


class ExecutorName(StrEnum):
    """Where the tasks of a run are executed."""

    SLURM = "slurm"
    LOCAL = "local"


class Resources(Section, frozen=True, kw_only=True):
    """What one task requests from Slurm; None leaves it to the partition's default."""

    partition: Annotated[
        Text | None, key("Partition of the tasks, as sbatch takes it.", default="Slurm's")
    ] = None
    account: Annotated[
        Text | None, key("Account that pays, as sbatch takes it.", default="Slurm's")
    ] = None
    time_min: Annotated[
        Positive, key("Time limit of one task.", unit="minutes", hint=TIME_IN_NOTATION)
    ] = 60
    mem_gb: Annotated[
        PositiveNumber | None, key("Memory of one task.", unit="GiB", default="Slurm's")
    ] = None
    mem_per_cpu: Annotated[
        PositiveNumber | None,
        key(
            "Memory of each CPU of a task, for sites that want it instead of `mem_gb`.",
            unit="GiB",
            default="Slurm's",
            omit_default=True,
        ),
    ] = None
    cpus: Annotated[Positive, key("CPUs of one task.")] = 1
    gres: Annotated[
        Text | None,
        key(
            'Generic resources of one task, such as "gpu:1", as sbatch takes them.', default="none"
        ),
    ] = None
    qos: Annotated[
        Text | None, key("Quality of service, as sbatch takes it.", default="Slurm's")
    ] = None
    constraint: Annotated[
        Text | None, key("Features that a node must have, as sbatch takes them.", default="none")
    ] = None
    exclude: Annotated[
        Text | None, key("Nodes to stay away from, as sbatch takes them.", default="none")
    ] = None
    python: Annotated[
        Text, key("Python interpreter on the node.", default="the one that submits")
    ] = field(default_factory=lambda: sys.executable)
    setup: Annotated[
        tuple[str, ...],
        key(
            "Shell lines that run before the task starts, such as `module load …`. A line that "
            "fails ends the task, unless it ends in `|| true`."
        ),
    ] = ()
    extra: Annotated[
        Mapping[str, SbatchValue],
        key(
            "Further sbatch options by their long names, such as `{mail-type: END}`. `true` adds "
            "an option that takes no value; `false` and `null` leave one out."
        ),
    ] = field(default_factory=dict)

    @property
    def task_mem_gb(self) -> float | None:
        """Return the memory of one task in GiB, however it is configured; None: Slurm's default."""
        return self.mem_gb if self.mem_per_cpu is None else self.mem_per_cpu * self.cpus


class CaretakerResources(Section, frozen=True, kw_only=True):
    """What the job of `submit --caretaker` requests: where the tasks run, but little."""

    partition: Annotated[Text | None, key("Its partition.", default="the tasks'")] = None
    account: Annotated[Text | None, key("Its account.", default="the tasks'")] = None
    qos: Annotated[Text | None, key("Its quality of service.", default="the tasks'")] = None
    time_min: Annotated[
        Positive,
        key(
            "Time limit of one such job; the next one follows it.",
            unit="minutes",
            hint=TIME_IN_NOTATION,
        ),
    ] = 60
    time: Annotated[
        Text | None,
        key("The same in Slurm's notation.", default="none", number_as_text=True),
    ] = None
    mem_gb: Annotated[PositiveNumber, key("Its memory.", unit="GiB")] = 2.0

    def __post_init__(self) -> None:
        """Reject a time that Slurm does not take."""
        minutes_of("time", self.time, self.time_min)


class ClusterTemplate(Resources, frozen=True, kw_only=True):
    """A file in `slurm_templates/`: what the tasks of one cluster, or one partition, request."""

    time: Annotated[
        Text | None,
        key(
            "Time limit of one task in Slurm's notation, instead of `time_min`.",
            default="none",
            number_as_text=True,
        ),
    ] = None
    cluster_name: Annotated[
        Text | None,
        key(
            "The Slurm cluster that runs the tasks, where a site has several (`sbatch -M`).",
            default="SLURM_CLUSTERS, else that of the login node",
        ),
    ] = None
    max_submitted: Annotated[
        Positive | None,
        key(
            "Jobs of yours in Slurm's queue at a time, every array task counted, for sites that "
            "limit them and do not show the limit.",
            default="the limits that Slurm shows",
        ),
    ] = None
    caretaker: Annotated[
        CaretakerResources, key("Resources of the job of `submit --caretaker`.")
    ] = CaretakerResources()

    def __post_init__(self) -> None:
        """Reject sbatch options that fight our own, and memory that is given twice.

        Only here: the manifest of a run that an older version made may hold such options.
        """
        if problem := objection(self.extra):
            raise Wrong("extra", problem)
        for name, value in self.extra.items():
            if isinstance(value, str) and len(value.splitlines()) > 1:
                raise Wrong("extra", f"the value of {name} should be one line")
        if self.mem_gb is not None and self.mem_per_cpu is not None:
            raise Wrong("mem_per_cpu", "give either mem_gb or mem_per_cpu, not both")
        if self.cluster_name is not None and (problem := names_one_cluster(self.cluster_name)):
            raise Wrong("cluster_name", problem)
        minutes_of("time", self.time, self.time_min)


class ClusterSection(ClusterTemplate, frozen=True, kw_only=True):
    """Where and with which resources tasks run.

    Every key of a template may also be given here, and overrides the template's.
    """

    executor: Annotated[
        ExecutorName, key("`slurm` submits arrays; `local` runs the tasks on this machine.")
    ]
    template: Annotated[
        Text | None,
        key("A file with keys of this section, such as one in `slurm_templates/`.", default="none"),
    ] = None
    max_parallel: Annotated[
        Positive | None,
        key(
            "Tasks at once, over all arrays of the run.",
            default=f"{SLURM_DEFAULTS.max_parallel}; with `executor: local` the number of CPUs",
        ),
    ] = None
    grace_seconds: Annotated[
        DurationOrZero | None,
        key(
            "How long Slurm's accounting, and files that other nodes wrote, may take to appear "
            "(NFS: up to 60 s). The default follows the file system of `storage.run_root`, and "
            "`submit --dry-run` prints it.",
            unit="seconds",
            default="15 on a local disk, GPFS, Lustre and BeeGFS; 120 on NFS and others; "
            "with `executor: local` 0",
        ),
    ] = None
    poll_seconds: Annotated[
        Duration | None,
        key(
            "How often `supervise` and `status --watch` look at the run, on average. The first "
            "looks, and those after a submission, come sooner: after 1, 2, 4, 8 and 16 seconds.",
            unit="seconds",
            default=_by_executor(SLURM_DEFAULTS.poll_seconds, LOCAL_DEFAULTS.poll_seconds),
        ),
    ] = None


class Cluster(Section, frozen=True, kw_only=True):
    """The section as the manifest keeps it: the template merged, every default filled in."""

    executor: ExecutorName
    max_parallel: Positive
    grace_seconds: DurationOrZero
    poll_seconds: Duration
    resources: Resources
    caretaker: Resources
    cluster_name: Annotated[
        Text | None, key("The Slurm cluster of every command about the run.", omit_default=True)
    ] = None
    max_submitted: Annotated[
        Positive | None,
        key("Jobs of the user in Slurm's queue at a time.", omit_default=True),
    ] = None


def with_template(
    values: object, *, source: str, folders: tuple[Path, ...], problems: Problems
) -> tuple[ClusterSection, Mapping[str, object]] | None:
    """Return the section with the keys that only its template has; None where one is wrong.

    The mapping beside it holds the keys that the section or its template gives.

    Args:
        values: the section as the YAML has it; what is wrong in it is somebody else's to report.
        source: the configuration's file.
        folders: where to look for the template, in turn.
        problems: gets what is wrong with the template.
    """
    if not isinstance(values, Mapping):
        return None
    below: Mapping[str, object] = {}
    name = values.get("template")
    if isinstance(name, str) and name.strip():
        found = _read_template(name, source, folders, problems)
        if found is None:
            return None
        below = found
    given = _overridden(below, values)
    section = check(ClusterSection, given, source=source, path="cluster", problems=Problems())
    return (section, given) if section else None


def _read_template(
    name: str, source: str, folders: tuple[Path, ...], problems: Problems
) -> Mapping[str, object] | None:
    inputs = InputFiles(source=source, path="cluster", folders=folders, problems=problems)
    path = inputs.find("template", name)
    if path is None:
        return None
    try:
        values = strict_yaml.read_file(path)
    except OSError as error:
        inputs.report("template", f"{path} cannot be read: {error.strerror}")
        return None
    except InvalidYaml as error:
        inputs.report("template", f"{path} is not valid YAML: {error}")
        return None
    if check(ClusterTemplate, values, source=str(path), problems=problems) is None:
        return None
    return values or {}


# Keys that say the same in different units: one that is given overrides the other.
ALTERNATIVES = (("time", "time_min"), ("mem_gb", "mem_per_cpu"))


def _overridden(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return the template's mapping with the section's keys on top, key by key."""
    merged = dict(below)
    for alternatives in ALTERNATIVES:
        if any(above.get(name) is not None for name in alternatives):
            merged = {name: value for name, value in merged.items() if name not in alternatives}
    for name, value in above.items():
        beneath = below.get(name)
        if isinstance(value, Mapping) and isinstance(beneath, Mapping):
            merged[name] = _overridden(beneath, value)
        elif value is not None:
            merged[name] = value
    return merged


def resolve(section: ClusterSection, *, slurm_grace_seconds: float = LONGEST_GRACE_S) -> Cluster:
    """Return the section with every default filled in.

    Args:
        section: the section, with its template.
        slurm_grace_seconds: the default of `grace_seconds` with Slurm.
    """
    is_local = section.executor is ExecutorName.LOCAL
    defaults = LOCAL_DEFAULTS if is_local else SLURM_DEFAULTS
    tasks = Resources(**{name: getattr(section, name) for name in Resources.__struct_fields__})
    tasks = replace(tasks, time_min=minutes_of("time", section.time, section.time_min))
    own = section.caretaker
    return Cluster(
        executor=section.executor,
        max_parallel=section.max_parallel or defaults.max_parallel or os.cpu_count() or 1,
        grace_seconds=_first(
            section.grace_seconds, LOCAL_GRACE_S if is_local else slurm_grace_seconds
        ),
        poll_seconds=_first(section.poll_seconds, defaults.poll_seconds),
        cluster_name=None if is_local else section.cluster_name,
        max_submitted=section.max_submitted,
        resources=tasks,
        caretaker=Resources(
            partition=own.partition or tasks.partition,
            account=own.account or tasks.account,
            qos=own.qos or tasks.qos,
            time_min=minutes_of("time", own.time, own.time_min),
            mem_gb=own.mem_gb if tasks.mem_per_cpu is None else None,
            mem_per_cpu=None if tasks.mem_per_cpu is None else own.mem_gb,
            python=tasks.python,
            setup=tasks.setup,
        ),
    )


def section_of(cluster: Cluster) -> dict[str, object]:
    """Return a section that `resolve` turns into these resources, as a configuration has it.

    The caretaker goes where the tasks go, so only what it has of its own is given.
    """
    tasks, own = cluster.resources, cluster.caretaker
    caretaker = {
        "partition": None if own.partition == tasks.partition else own.partition,
        "account": None if own.account == tasks.account else own.account,
        "qos": None if own.qos == tasks.qos else own.qos,
        "time_min": own.time_min,
        "mem_gb": own.task_mem_gb,
    }
    given = {**fields_to_json(cluster), **fields_to_json(tasks), "caretaker": caretaker}
    given.pop("resources")
    return given


def _first(value: float | None, default: float) -> float:
    return default if value is None else value


def megabytes(gigabytes: float | None) -> str | None:
    """Return `gigabytes` as --mem takes them.

    They are rounded down, because a node may have just that much, and never 0, which would request
    all memory of the node.
    """
    return None if gigabytes is None else f"{max(1, math.floor(gigabytes * 1024))}M"
