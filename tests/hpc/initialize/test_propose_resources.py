"""What a task requests follows from the classifier, the partitions and the accounts."""

from pathlib import Path

import pytest

from hpc.executors.slurm.environment import ShellDefaults
from hpc.executors.slurm.survey.facts import (
    ClusterSurvey,
    PartitionFacts,
    parse_associations,
    parse_nodes,
    parse_shown_partitions,
)
from hpc.initialize.given import Given
from hpc.initialize.propose_resources import (
    NEEDS,
    propose_account,
    propose_gres,
    propose_memory,
    propose_partition,
    propose_qos,
    propose_time,
    usable_partitions,
)
from hpc.initialize.questions import ask_cluster
from hpc.initialize.questions.unattended import Unattended
from hpc.initialize.site import Site

# As sinfo prints it on a cluster like Quest.
SINFO = """\
short|up|4:00:00|191000|52|idle|qnode1|(null)
short|up|4:00:00|191000|52|mix|qnode2|(null)
normal|up|2-00:00:00|191000|52|idle|qnode1|(null)
normal|up|2-00:00:00|191000|52|mix|qnode2|(null)
long|up|7-00:00:00|191000|52|down*|qnode3|(null)
gengpu|up|2-00:00:00|512000|64|mix|qgpu1|gpu:a100:4(S:0-1)
gengpu|up|2-00:00:00|1024000|64|idle|qgpu2|gpu:h100:4(S:0-1),mps:400
secret|up|infinite|2000|2|idle|qnode9|(null)
closed|inact|infinite|2000|2|idle|qnode9|(null)
b1042*|up|infinite|2000|2|idle|qnode9|gpu:1
"""
SHOWN = """\
PartitionName=short AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL Default=NO Hidden=NO
PartitionName=secret AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL Default=NO Hidden=YES
PartitionName=b1042 AllowGroups=ALL AllowAccounts=b1042,B1043 AllowQos=buyin Default=YES Hidden=NO
PartitionName=normal AllowGroups=ALL DenyAccounts=p999 AllowQos=ALL Default=NO Hidden=NO
"""
PARTITIONS = parse_nodes(SINFO, parse_shown_partitions(SHOWN))
BY_NAME = {each.name: each for each in PARTITIONS}


def survey(associations: str = "", **facts: object) -> ClusterSurvey:
    known = {"name": "quest", "partitions": PARTITIONS, **facts}
    return ClusterSurvey(associations=parse_associations(associations), **known)  # type: ignore[arg-type]


def test_a_partition_is_described_by_its_best_nodes_that_work() -> None:
    assert BY_NAME["gengpu"] == PartitionFacts(
        name="gengpu", time_min=2880, nodes=2, memory_mb=1024000, cpus=64,
        gpus=("gpu:a100", "gpu:h100"),
    )  # fmt: skip
    assert BY_NAME["long"].nodes == 0
    assert (BY_NAME["b1042"].is_default, BY_NAME["b1042"].gpus) == (True, ("gpu",))
    assert BY_NAME["b1042"].accounts == {"b1042", "b1043"}


def test_what_is_down_hidden_or_closed_to_the_account_is_not_proposed() -> None:
    names = {each.name for each in usable_partitions(survey(), "p100")}
    assert names == {"short", "normal", "gengpu"}
    assert "normal" not in {each.name for each in usable_partitions(survey(), "P999")}
    assert "b1042" in {each.name for each in usable_partitions(survey(), "b1043")}


def test_an_account_of_one_partition_is_used_there_only() -> None:
    bound = survey("quest|p100|short|normal|\n")
    assert {each.name for each in usable_partitions(bound, "p100")} == {"short"}


@pytest.mark.parametrize(
    ("kind", "account", "partition", "time", "mem_gb", "gres"),
    [
        ("valence", "p100", "short", "1:00:00", "2", ""),
        ("perspective", "p100", "normal", "12:00:00", "3", ""),
        ("transformers", "p100", "gengpu", "4:00:00", "32", "gpu:1"),
        # The only GPU of this account has nearly no memory.
        ("valence", "b1042", "short", "1:00:00", "2", ""),
    ],
)
def test_a_partition_fits_the_classifier(
    kind: str, account: str, partition: str, time: str, mem_gb: str, gres: str
) -> None:
    usable = [each for each in usable_partitions(survey(), account) if each.name != "x"]
    chosen = propose_partition(usable, NEEDS[kind], None)
    assert chosen
    found = BY_NAME[chosen.value]
    proposed = (
        chosen.value,
        propose_time(found, NEEDS[kind]).value,
        propose_memory(found, NEEDS[kind]).value,
        propose_gres(found, NEEDS[kind]).value,
    )
    assert proposed == (partition, time, mem_gb, gres)


def test_without_gpus_a_local_model_computes_on_cpus() -> None:
    usable = [BY_NAME["normal"]]
    needs = NEEDS["transformers"]
    assert propose_partition(usable, needs, None)
    assert propose_gres(BY_NAME["normal"], needs).value == ""
    assert propose_memory(BY_NAME["normal"], needs).value == "16"


def test_a_small_node_and_a_short_limit_bound_what_is_requested() -> None:
    small = PartitionFacts(name="small", nodes=1, memory_mb=1024, time_min=30)
    assert propose_memory(small, NEEDS["perspective"]).value == "0.9"
    assert propose_time(small, NEEDS["perspective"]).value == "0:30:00"


@pytest.mark.parametrize(
    ("rows", "facts", "expected"),
    [
        ("quest|p100||normal|\n", {}, "p100"),
        ("quest|p100||normal|\nquest|p200||normal|\n", {"default_account": "p200"}, "p200"),
        ("quest|p100||normal|\nquest|p200||normal|\n", {}, None),
        # The default account belongs to another cluster.
        ("quest|p100||normal|\nother|p200||normal|\n", {"default_account": "p200"}, "p100"),
        ("", {"accounting_problem": "no slurmdbd"}, ""),
        ("", {}, ""),
    ],
)
def test_the_account_is_the_default_one_or_the_only_one(
    rows: str, facts: dict[str, object], expected: str | None
) -> None:
    chosen = propose_account(survey(rows, **facts), None)
    assert (chosen and chosen.value) == expected


def test_the_shell_decides_where_it_says_something() -> None:
    rows = "quest|p100||normal|\nquest|p300||normal|\n"
    chosen = propose_account(survey(rows, default_account="p100"), "P300")
    assert chosen
    assert chosen.value == "P300"
    partition = propose_partition(PARTITIONS, NEEDS["valence"], "long")
    assert partition
    assert partition.value == "long"


@pytest.mark.parametrize(
    ("named", "proposed"),
    [
        ({}, ("p100", "normal", "")),
        ({"account": "p300", "partition": "short", "qos": "high"}, ("p300", "short", "high")),
        ({"account": "p999", "partition": "nowhere", "qos": "gone"}, ("p100", "normal", "")),
        ({"partition": "short,long"}, ("p100", "short,long", "")),
        ({"partition": "short,nowhere"}, ("p100", "normal", "")),
    ],
)
def test_what_a_shell_names_and_the_cluster_lacks_is_said_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    named: dict[str, str],
    proposed: tuple[str, str, str],
) -> None:
    rows = "quest|p100||normal,high|normal\nquest|p300||normal,high|normal\n"
    known = survey(rows, default_account="p100", checks_qos=True)
    monkeypatch.setattr(ask_cluster, "survey_cluster", lambda cluster: known)
    said: list[str] = []
    keys = ask_cluster.ask_resources(
        Unattended(said.append, why="no terminal"),
        Given(folder=tmp_path, working_folder=tmp_path),
        Site(has_slurm=True, jobs=ShellDefaults(**named)),
        "llm",
        said.append,
    )
    assert keys
    assert (keys["account"], keys["partition"], keys.get("qos", "")) == proposed
    lacks = {"p999", "nowhere", "gone"}
    missing = [word for value in named.values() for word in value.split(",") if word in lacks]
    assert [word for word in missing if not any(f"names {word}" in line for line in said)] == []
    assert sum("of your shell names" in line for line in said) == len(missing)


@pytest.mark.parametrize(
    ("qos", "default", "partition", "expected"),
    [
        ("normal,high", "", "short", ""),
        ("a,b", "b", "short", ""),
        ("a,b", "", "short", None),
        ("a", "", "short", "a"),
        ("a,buyin", "a", "b1042", "buyin"),
    ],
)
def test_a_qos_is_asked_for_only_where_slurm_has_no_default(
    qos: str, default: str, partition: str, expected: str | None
) -> None:
    chosen = propose_qos(survey(f"quest|p100||{qos}|{default}\n"), "p100", BY_NAME[partition])
    assert (chosen and chosen.value) == expected
