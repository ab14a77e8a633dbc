"""`cluster:` of the configuration: a template, overruled key by key, and nothing unread."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpc.run.model import ResourceRequest
from hpc.run.resources import (
    Resources,
    apply_request,
    caretaker_of,
    first_request,
    freeze,
    resources_of,
)
from pipeline.config.section import Section
from pipeline.errors import InputError
from pipeline.model import JsonObject

TEMPLATE = """
partition: kellogg
account: kellogg
time_min: 2880
mem_gb: 3
cpus: 2
gres: gpu:h100:1
qos: normal
constraint: "[quest9|quest10]"
exclude: qnode0001
python: /envs/hpc/bin/python
setup: [module purge, module load mamba]
extra: {mail-type: END, exclusive: true}
"""
FROM_TEMPLATE = Resources(
    partition="kellogg",
    account="kellogg",
    time_min=2880,
    mem_gb=3.0,
    cpus=2,
    gres="gpu:h100:1",
    qos="normal",
    constraint="[quest9|quest10]",
    exclude="qnode0001",
    python="/envs/hpc/bin/python",
    setup=("module purge", "module load mamba"),
    extra={"mail-type": "END", "exclusive": True},
)

Freeze = Callable[..., JsonObject]


@pytest.fixture
def frozen(tmp_path: Path) -> Freeze:
    """Freezes `cluster:` as given, with klc.yaml (the template's text, if any) beside it."""

    def freeze_it(template: str | bytes | None = None, **values: Any) -> JsonObject:
        if template is not None:
            content = template if isinstance(template, bytes) else template.encode()
            (tmp_path / "klc.yaml").write_bytes(content)
            values = {"template": "klc.yaml", **values}
        section = Section(
            {"executor": "slurm", **values}, path="cluster", source="run.yaml", folders=(tmp_path,)
        )
        return freeze(section)

    return freeze_it


def test_without_anything_slurms_and_our_defaults_hold(frozen: Freeze) -> None:
    nothing = {
        "partition": None, "account": None, "time_min": 60, "mem_gb": None, "cpus": 1,
        "gres": None, "qos": None, "constraint": None, "exclude": None,
        "python": sys.executable, "setup": (), "extra": {},
    }  # fmt: skip
    assert frozen() == {
        "executor": "slurm",
        "max_parallel": 8,
        "grace_seconds": 120.0,
        "poll_seconds": 30.0,
        "resources": nothing,
        "caretaker": {**nothing, "mem_gb": 2.0},
    }


def test_the_caretaker_runs_where_the_tasks_do_with_one_core_and_little_memory(
    frozen: Freeze,
) -> None:
    gpu = frozen(partition="gpu", account="kellogg", gres="gpu:1", cpus=8, mem_gb=64, setup=["x"])
    care = caretaker_of(gpu)
    assert (care.partition, care.account, care.setup) == ("gpu", "kellogg", ("x",))
    assert (care.cpus, care.mem_gb, care.time_min, care.gres) == (1, 2.0, 60, None)
    from_template = caretaker_of(frozen("caretaker: {partition: small}", partition="gpu"))
    assert from_template.partition == "small"
    both = caretaker_of(frozen("caretaker: {partition: small, mem_gb: 4}", caretaker={"mem_gb": 1}))
    assert (both.partition, both.mem_gb) == ("small", 1.0)
    with pytest.raises(InputError, match=r"klc.yaml: caretaker.memory: is not a key"):
        frozen("caretaker: {memory: 4}", caretaker={"mem_gb": 1})
    own = {"partition": "short", "account": "b1", "qos": "q", "time_min": 5, "mem_gb": 1}
    care = caretaker_of(frozen(partition="gpu", caretaker=own))
    assert {key: getattr(care, key) for key in own} == own


def test_an_attempt_asks_for_its_own_on_top_of_what_is_configured(frozen: Freeze) -> None:
    resources = resources_of(frozen(mem_gb=4, exclude="n9", time_min=30))
    assert first_request(resources) == ResourceRequest(mem_gb=4.0, time_min=30)
    grown = apply_request(resources, ResourceRequest(mem_gb=8.0, time_min=60, exclude=("n1", "n2")))
    assert grown == replace(resources, mem_gb=8.0, time_min=60, exclude="n9,n1,n2")
    assert apply_request(resources_of(frozen()), ResourceRequest()).exclude is None


def test_a_template_gives_every_key(frozen: Freeze) -> None:
    assert resources_of(frozen(TEMPLATE)) == FROM_TEMPLATE


@pytest.mark.parametrize(
    ("key", "value"),
    [("partition", "short"), ("account", "p31234"), ("time_min", 240), ("mem_gb", 7.5),
     ("cpus", 4), ("gres", "gpu:a100:1"), ("qos", "high"), ("constraint", "rhel8"),
     ("exclude", "qnode[1-3]"), ("python", "/usr/bin/python3"), ("setup", ["conda activate x"])],
)  # fmt: skip
def test_the_configuration_overrules_one_key_and_leaves_the_others(
    frozen: Freeze, key: str, value: Any
) -> None:
    given = resources_of(frozen(TEMPLATE, **{key: value}))
    assert getattr(given, key) == (tuple(value) if key == "setup" else value)
    others = set(Resources.__dataclass_fields__) - {key}
    assert {name: getattr(given, name) for name in others} == {
        name: getattr(FROM_TEMPLATE, name) for name in others
    }


def test_extra_options_are_merged_key_by_key(frozen: Freeze) -> None:
    given = resources_of(frozen(TEMPLATE, extra={"mail-type": "FAIL", "nice": 100}))
    assert given.extra == {"mail-type": "FAIL", "exclusive": True, "nice": 100}


def test_what_is_frozen_survives_the_manifest(frozen: Freeze) -> None:
    through_json = json.loads(json.dumps(frozen(TEMPLATE)))
    assert resources_of(through_json) == FROM_TEMPLATE


def test_a_local_run_waits_for_nothing(frozen: Freeze) -> None:
    local = frozen(executor="local", max_parallel=3)
    assert (local["max_parallel"], local["grace_seconds"], local["poll_seconds"]) == (3, 0.0, 0.2)


def test_an_empty_template_says_nothing(frozen: Freeze) -> None:
    assert frozen("# nothing yet\n") == frozen()


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(InputError) as refused:
        act()
    return str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"executor": "slrum"},
            "run.yaml: cluster.executor: should be one of slurm, local, not 'slrum' "
            "(did you mean 'slurm'?)",
        ),
        ({"executor": None}, "run.yaml: cluster.executor: is missing"),
        (
            {"partion": "short"},
            "run.yaml: cluster.partion: is not a key that anything reads "
            "(did you mean 'partition'?)",
        ),
        ({"mem_gb": "3G"}, "run.yaml: cluster.mem_gb: should be a number, not '3G'"),
        ({"mem_gb": 0}, "run.yaml: cluster.mem_gb: should be more than 0, not 0"),
        (
            {"time_min": "48:00:00"},
            "run.yaml: cluster.time_min: should be a whole number, 1 or more, not '48:00:00'",
        ),
        (
            {"max_parallel": 0},
            "run.yaml: cluster.max_parallel: should be a whole number, 1 or more, not 0",
        ),
        ({"setup": "module purge"},
         "run.yaml: cluster.setup: should be a list of texts, not 'module purge'"),
        ({"extra": {"array": "0-9"}}, "run.yaml: cluster.extra: --array is set by the submission"),
        (
            {"extra": {"job_name": "mine"}},
            "run.yaml: cluster.extra: --job-name is set by the submission",
        ),
        (
            {"extra": ["exclusive"]},
            "run.yaml: cluster.extra: should be a mapping of sbatch's options, not ['exclusive']",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_path(
    frozen: Freeze, values: dict[str, Any], message: str
) -> None:
    assert refusal(lambda: frozen(**values)) == message


@pytest.mark.parametrize(
    "option", ["array", "begin", "hold", "job-name", "output", "error", "dependency", "signal"]
)
def test_what_the_submission_sets_is_refused_in_a_template_too(
    frozen: Freeze, tmp_path: Path, option: str
) -> None:
    for spelt in (option, option.replace("-", "_")):
        said = refusal(lambda: frozen(f"extra: {{{spelt}: x}}"))  # noqa: B023
        assert said == f"{tmp_path}/klc.yaml: extra: --{option} is set by the submission"


@pytest.mark.parametrize(
    "option",
    ["nodes", "N", "ntasks", "n", "ntasks_per_node", "ntasks-per-core", "ntasks-per-socket"],
)
def test_an_option_that_starts_copies_of_a_task_is_rejected(frozen: Freeze, option: str) -> None:
    message = refusal(lambda: frozen(extra={option: 1}))
    assert message.startswith("run.yaml: cluster.extra: -")
    assert "not allowed: a shard is one process" in message


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "accounts: kellogg",
            "accounts: is not a key that anything reads (did you mean 'account'?)",
        ),
        ("ntasks: 4", "ntasks: is not a key that anything reads"),
        ("mem_gb: lots", "mem_gb: should be a number, not 'lots'"),
        (
            "- partition: short",
            "the file: should be a mapping of keys, not [{'partition': 'short'}]",
        ),
    ],
)
def test_what_is_wrong_in_a_template_names_the_template(
    frozen: Freeze, tmp_path: Path, template: str, message: str
) -> None:
    assert refusal(lambda: frozen(template)) == f"{tmp_path}/klc.yaml: {message}"


@pytest.mark.parametrize("template", ["a: [", b"\xff\xfe partition", "a: b: c"])
def test_a_template_that_is_no_yaml_is_said_to_be_none(
    frozen: Freeze, tmp_path: Path, template: str | bytes
) -> None:
    said = refusal(lambda: frozen(template))
    assert said.startswith(f"run.yaml: cluster.template: {tmp_path}/klc.yaml is not valid YAML: ")


def test_a_template_that_is_not_there_says_where_it_was_looked_for(
    frozen: Freeze, tmp_path: Path
) -> None:
    section = Section(
        {"executor": "slurm", "template": "klc.yaml"},
        path="cluster",
        source="run.yaml",
        folders=(tmp_path, tmp_path),
    )
    said = refusal(lambda: freeze(section))
    assert said == f"run.yaml: cluster.template: there is no file {tmp_path}/klc.yaml"
