"""`cluster:` of the configuration: a template, overridden key by key."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hpc.config import run_config
from hpc.run.cluster.resource_requests import apply_request, first_request
from hpc.run.cluster.resources import Cluster, ExecutorName, Resources
from hpc.run.model.arrays import ResourceRequest
from pipeline.config.check import Problems, check_record

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

Configured = Callable[..., Cluster]


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """Load a configuration with this `cluster:` and, if given, this template, as klc.yaml."""

    def load(template: str | None = None, **values: Any) -> Cluster:
        if template is not None:
            (tmp_path / "klc.yaml").write_text(template)
            values = {"template": "klc.yaml", **values}
        sections = {
            "name": "v",
            "backlog": {"source": "posts.csv"},
            "classifier": {"type": "valence"},
            "cluster": {"executor": "slurm", **values},
        }
        path = tmp_path / "run.yaml"
        path.write_text(json.dumps(sections))
        return run_config.load(path, mounts=tmp_path / "no mounts").cluster

    return load


def test_an_empty_section_means_the_default_resources(configured: Configured) -> None:
    nothing = Resources(
        partition=None,
        account=None,
        time_min=60,
        mem_gb=None,
        cpus=1,
        gres=None,
        qos=None,
        constraint=None,
        exclude=None,
        python=sys.executable,
        setup=(),
        extra={},
    )
    assert configured() == Cluster(
        executor=ExecutorName.SLURM,
        max_parallel=8,
        grace_seconds=120.0,
        poll_seconds=30.0,
        resources=nothing,
        caretaker=replace(nothing, mem_gb=2.0),
    )


def test_a_key_without_a_value_has_its_default(configured: Configured) -> None:
    empty: dict[str, Any] = dict.fromkeys(["partition", "mem_gb", "max_parallel", "setup", "extra"])
    assert configured(**empty) == configured()


def test_the_caretaker_runs_where_the_tasks_do_with_one_core_and_little_memory(
    configured: Configured,
) -> None:
    care = configured(
        partition="gpu", account="kellogg", gres="gpu:1", cpus=8, mem_gb=64, setup=["x"]
    ).caretaker
    assert (care.partition, care.account, care.setup) == ("gpu", "kellogg", ("x",))
    assert (care.cpus, care.mem_gb, care.time_min, care.gres) == (1, 2.0, 60, None)


def test_the_caretakers_own_keys_override_the_templates_and_these_the_tasks(
    configured: Configured,
) -> None:
    own = {"partition": "short", "account": "b1", "qos": "q", "time_min": 5, "mem_gb": 1.0}
    care = configured(partition="gpu", caretaker=own).caretaker
    assert {key: getattr(care, key) for key in own} == own
    from_template = configured("caretaker: {partition: small}", partition="gpu").caretaker
    assert from_template.partition == "small"
    both = configured("caretaker: {partition: small, mem_gb: 4}", caretaker={"mem_gb": 1}).caretaker
    assert (both.partition, both.mem_gb) == ("small", 1.0)


def test_an_attempts_request_overrides_the_configuration(configured: Configured) -> None:
    resources = configured(mem_gb=4, exclude="n9", time_min=30).resources
    assert first_request(resources) == ResourceRequest(mem_gb=4.0, time_min=30)
    grown = apply_request(resources, ResourceRequest(mem_gb=8.0, time_min=60, exclude=("n1", "n2")))
    assert grown == replace(resources, mem_gb=8.0, time_min=60, exclude="n9,n1,n2")
    assert apply_request(configured().resources, ResourceRequest()).exclude is None


def test_a_template_gives_every_key(configured: Configured) -> None:
    assert configured(TEMPLATE).resources == FROM_TEMPLATE


@pytest.mark.parametrize(
    ("key", "value"),
    [("partition", "short"), ("account", "p31234"), ("time_min", 240), ("mem_gb", 7.5),
     ("cpus", 4), ("gres", "gpu:a100:1"), ("qos", "high"), ("constraint", "rhel8"),
     ("exclude", "qnode[1-3]"), ("python", "/usr/bin/python3"), ("setup", ["conda activate x"])],
)  # fmt: skip
def test_the_configuration_overrides_one_key_and_leaves_the_others(
    configured: Configured, key: str, value: Any
) -> None:
    expected = tuple(value) if key == "setup" else value
    resources = configured(TEMPLATE, **{key: value}).resources
    assert resources == replace(FROM_TEMPLATE, **{key: expected})


def test_extra_options_are_merged_key_by_key(configured: Configured) -> None:
    resources = configured(TEMPLATE, extra={"mail-type": "FAIL", "nice": 100}).resources
    assert resources.extra == {"mail-type": "FAIL", "exclusive": True, "nice": 100}


def test_the_configuration_is_read_from_the_manifest_unchanged(configured: Configured) -> None:
    cluster = configured(TEMPLATE)
    values = json.loads(json.dumps(cluster.to_json()))
    problems = Problems()
    assert check_record(Cluster, values, source="manifest.json", problems=problems) == cluster


def test_a_local_run_has_no_grace_time(configured: Configured) -> None:
    local = configured(executor="local", max_parallel=3)
    assert (local.max_parallel, local.grace_seconds, local.poll_seconds) == (3, 0.0, 0.2)


def test_an_empty_template_changes_nothing(configured: Configured) -> None:
    assert configured("# nothing yet\n") == configured()
