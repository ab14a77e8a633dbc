"""The configuration's `cluster:` section: a template for the cluster, overruled key by key."""

import math
import os
import sys
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hpc.run.model import ResourceRequest
from pipeline.config import strict_yaml
from pipeline.config.section import Section
from pipeline.config.strict_yaml import InvalidYaml
from pipeline.model import JsonObject

DEFAULT_MAX_PARALLEL = 8
_OURS = frozenset({"array", "begin", "hold", "job-name", "output", "error", "dependency", "signal"})
# Each of these makes srun start several copies of one task, all of which label the same posts.
_COPIES = frozenset(
    {"nodes", "N", "ntasks", "n", "ntasks-per-node", "ntasks-per-core", "ntasks-per-socket"}
    | {"ntasks-per-gpu", "tasks-per-node"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one task asks Slurm for; None leaves it to the partition's default."""

    partition: str | None = None
    account: str | None = None
    time_min: int = 60
    mem_gb: float | None = None
    cpus: int = 1
    gres: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    python: str = ""
    setup: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


def freeze(section: Section) -> JsonObject:
    """JSON values for the manifest: executor, max_parallel, grace_seconds, poll_seconds, resources.

    Raises InputError for an unknown key, and for a template that is missing or wrong.
    """
    executor = section.choice("executor", ("slurm", "local"))
    template = _template(section)
    resources = _resources(section, template)
    local = executor == "local"
    frozen: JsonObject = {
        "executor": executor,
        "max_parallel": section.integer(
            "max_parallel", (os.cpu_count() or 1) if local else DEFAULT_MAX_PARALLEL, least=1
        ),
        # How long accounting and file systems may lag; here nothing does.
        "grace_seconds": section.time("grace_seconds", 0.0 if local else 120.0, above=-1),
        "poll_seconds": section.time("poll_seconds", 0.2 if local else 30.0),
        "resources": asdict(resources),
        "caretaker": asdict(_caretaker(section, template, resources)),
    }
    section.done()
    template.done()
    return frozen


def first_request(resources: Resources) -> ResourceRequest:
    """What a first attempt asks for."""
    return ResourceRequest(mem_gb=resources.mem_gb, time_min=resources.time_min)


def apply_request(resources: Resources, ask: ResourceRequest) -> Resources:
    """The configured resources, as one attempt asks for them."""
    exclude = ",".join([*([resources.exclude] if resources.exclude else []), *ask.exclude])
    return replace(resources, mem_gb=ask.mem_gb, time_min=ask.time_min, exclude=exclude or None)


def megabytes(gigabytes: float | None) -> str | None:
    """As --mem has it; no more than was meant, which may be all that a node has, and never 0, which
    means just that."""
    return None if gigabytes is None else f"{max(1, math.floor(gigabytes * 1024))}M"


def resources_of(frozen: JsonObject) -> Resources:
    return _thawed(frozen["resources"])


def caretaker_of(frozen: JsonObject) -> Resources:
    """What the job asks for that looks after a run (`submit --caretaker`)."""
    return _thawed(frozen["caretaker"])


def _thawed(values: JsonObject) -> Resources:
    return Resources(**{**values, "setup": tuple(values["setup"])})


def _caretaker(section: Section, template: Section, tasks: Resources) -> Resources:
    """Where the tasks run unless said otherwise, but one core and little memory."""
    own, under = section.section("caretaker"), template.section("caretaker")
    resources = Resources(
        partition=own.text("partition", under.text("partition", tasks.partition)),
        account=own.text("account", under.text("account", tasks.account)),
        qos=own.text("qos", under.text("qos", tasks.qos)),
        time_min=own.integer("time_min", under.integer("time_min", 60, least=1), least=1),
        mem_gb=own.number("mem_gb", under.number("mem_gb", 2.0, above=0), above=0),
        python=tasks.python,
        setup=tasks.setup,
    )
    own.done()
    under.done()
    return resources


def _template(section: Section) -> Section:
    """What the section overrules key by key; nothing, where it names no template."""
    if not section.has("template"):
        return Section({}, path="", source="", folders=())
    path = section.input_file("template")
    try:
        values = strict_yaml.read(path.read_text(encoding="utf-8"))
    except (OSError, InvalidYaml, UnicodeDecodeError) as error:
        raise section.error("template", f"{path} is not valid YAML: {error}") from None
    return Section(values, path="", source=str(path), folders=section.folders)


def _resources(section: Section, under: Section) -> Resources:
    """Every key is read from both, so that an unknown one is refused in either."""
    extra = {**_extra(under), **_extra(section)}
    return Resources(
        partition=section.text("partition", under.text("partition", None)),
        account=section.text("account", under.text("account", None)),
        time_min=section.integer("time_min", under.integer("time_min", 60, least=1), least=1),
        mem_gb=section.number("mem_gb", under.number("mem_gb", None, above=0), above=0),
        cpus=section.integer("cpus", under.integer("cpus", 1, least=1), least=1),
        gres=section.text("gres", under.text("gres", None)),
        qos=section.text("qos", under.text("qos", None)),
        constraint=section.text("constraint", under.text("constraint", None)),
        exclude=section.text("exclude", under.text("exclude", None)),
        python=section.text("python", under.text("python", sys.executable)),
        setup=tuple(section.texts("setup", under.texts("setup", []))),
        extra=extra,
    )


def _extra(section: Section) -> JsonObject:
    """Further options of sbatch. submitit writes `job_name` as --job-name: both are ours."""
    given = section.value("extra", {})
    if not isinstance(given, dict):
        raise section.error("extra", f"should be a mapping of sbatch's options, not {given!r}")
    for key in given:
        option = str(key).replace("_", "-")
        if option in _OURS:
            raise section.error("extra", f"--{option} is set by the submission")
        if option in _COPIES:
            dashes = "-" if len(option) == 1 else "--"
            raise section.error(
                "extra",
                f"{dashes}{option} is not allowed: a shard is one process, and further copies would"
                " pay for its posts again (max_parallel runs more shards at a time,"
                " cpus gives a task more CPUs)",
            )
    return {str(key): value for key, value in given.items()}
