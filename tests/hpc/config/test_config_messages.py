"""What a configuration's mistakes are answered with: the file, the key, what it should be."""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpc.config import run_config
from pipeline import limits
from pipeline.config.check import Problems
from pipeline.config.input_files import InputFiles
from pipeline.errors import InputError, UnreadableError

SECTIONS: dict[str, Any] = {
    "name": "v",
    "backlog": {"source": "posts.csv"},
    "classifier": {"type": "valence"},
    "cluster": {"executor": "slurm"},
}


def rejection(folder: Path, sections: Mapping[str, Any] | str, *overrides: str) -> str:
    """Return the message, without the file's name where it begins with it."""
    text = sections if isinstance(sections, str) else json.dumps(sections)
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as rejected:
        run_config.load(path, overrides)
    return str(rejected.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("name", 5, "name: should be lower-case letters, digits and _ (it names a table), not 5"),
        ("shardings", {}, "shardings: unknown key (did you mean 'sharding'?)"),
        ("backlog", None, "backlog.source: is missing"),
        ("backlog", {"sources": "x"}, "backlog.sources: unknown key (did you mean 'source'?)"),
        ("backlog", {"source": 5}, "backlog.source: should be text, not 5"),
        (
            "backlog",
            {"source": " "},
            "backlog.source: is empty: give it a value, or leave the key out",
        ),
        (
            "backlog",
            {"source": "x", "columns": {"url": "y"}},
            "backlog.columns.url: unknown key (did you mean 'uri'?)",
        ),
        (
            "backlog",
            {"source": "x", "columns": {"text": 1}},
            "backlog.columns.text: should be text, not 1",
        ),
        (
            "backlog",
            {"source": "x", "min_text_length": -1},
            "backlog.min_text_length: should be a whole number, 0 or more, not -1",
        ),
        (
            "sharding",
            {"rows_per_shard": 5, "shards": 2},
            "sharding.shards: give either rows_per_shard or shards, not both",
        ),
        ("sharding", 5, "sharding: should be a mapping of keys, not 5"),
        (
            "sharding",
            {"shards": True},
            "sharding.shards: should be a whole number, 1 or more, not True",
        ),
        (
            "sharding",
            {"shards": 1.5},
            "sharding.shards: should be a whole number, 1 or more, not 1.5",
        ),
        (
            "checkpoint",
            {"seconds": 0},
            "checkpoint.seconds: should be a number, more than 0, at most 10,000,000, not 0",
        ),
        ("storage", {"database": 5}, "storage.database: should be text, not 5"),
        (
            "retry",
            {"attempts": 5},
            "retry.attempts: unknown key (did you mean 'max_attempts'?)",
        ),
        (
            "retry",
            {"memory_factor": 0.5},
            "retry.memory_factor: should be a number, 1 or more, not 0.5",
        ),
        (
            "retry",
            {"throttled_factor": 2},
            "retry.throttled_factor: should be a number, more than 0, at most 1, not 2",
        ),
        (
            "retry",
            {"restart_stalled": 1},
            "retry.restart_stalled: should be true or false, not 1",
        ),
        (
            "retry",
            {"max_mem_gb": float("inf")},
            "retry.max_mem_gb: should be a number, more than 0, not inf",
        ),
        (
            "retry",
            {"max_mem_gb": 10**400},
            f"retry.max_mem_gb: should be a number, more than 0, not 1{'0' * 199}…",
        ),
        (
            "cluster",
            {"executor": "slrum"},
            "cluster.executor: should be one of slurm, local, not 'slrum' (did you mean 'slurm'?)",
        ),
        ("cluster", {"executor": None}, "cluster.executor: is missing"),
        (
            "cluster",
            {"executor": "slurm", "partion": "short"},
            "cluster.partion: unknown key (did you mean 'partition'?)",
        ),
        (
            "cluster",
            {"executor": "slurm", "mem_gb": "3G"},
            "cluster.mem_gb: should be a number, more than 0, not '3G'",
        ),
        (
            "cluster",
            {"executor": "slurm", "setup": "module purge"},
            "cluster.setup: should be a list of texts, not 'module purge'",
        ),
        (
            "cluster",
            {"executor": "slurm", "setup": ["module purge", 1]},
            "cluster.setup[1]: should be text, not 1",
        ),
        (
            "cluster",
            {"executor": "slurm", "extra": ["exclusive"]},
            "cluster.extra: should be a mapping, not ['exclusive']",
        ),
        (
            "cluster",
            {"executor": "slurm", "extra": {"comment": "x\n#SBATCH --ntasks=4"}},
            "cluster.extra: the value of comment should be one line",
        ),
        (
            "cluster",
            {"executor": "slurm", "caretaker": {"memory": 4}},
            "cluster.caretaker.memory: unknown key",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(
    tmp_path: Path, section: str, values: object, message: str
) -> None:
    # YAML has infinity, which JSON has not.
    text = json.dumps({**SECTIONS, section: values}).replace("Infinity", ".inf")
    assert rejection(tmp_path, text) == message


@pytest.mark.parametrize("name", ["Perspective", "2nd", "a-b", "a b", 'a"; DROP', "a" * 42, "v\n"])
def test_a_name_must_do_for_a_table(tmp_path: Path, name: str) -> None:
    assert rejection(tmp_path, {**SECTIONS, "name": name}) == (
        f"name: should be lower-case letters, digits and _ (it names a table), not {name!r}"
    )


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "klc.yaml").write_text("mem: 3\ncpus: 0\n")
    sections = {
        "nmae": "v",
        "backlog": {"min_text_length": "5"},
        "classifier": {"type": "valence"},
        "cluster": {"executor": "slurm", "template": "klc.yaml", "time_min": 0},
    }
    assert rejection(tmp_path, sections).splitlines() == [
        "4 problems",
        "  nmae: unknown key (did you mean 'name'?)",
        "  backlog.source: is missing",
        "  backlog.min_text_length: should be a whole number, 0 or more, not '5'",
        "  cluster.time_min: should be a whole number, 1 or more, not 0",
        f"{tmp_path}/klc.yaml: 2 problems",
        "  mem: unknown key (did you mean 'mem_gb'?)",
        "  cpus: should be a whole number, 1 or more, not 0",
    ]


@pytest.mark.parametrize(
    "option", ["array", "begin", "hold", "job-name", "output", "error", "dependency", "signal"]
)
@pytest.mark.parametrize("with_underscores", [False, True])
def test_an_option_that_the_submission_sets_is_rejected_in_a_template_too(
    tmp_path: Path, option: str, with_underscores: bool
) -> None:
    written = option.replace("-", "_") if with_underscores else option
    cluster = {"executor": "slurm", "extra": {written: "x"}}
    assert rejection(tmp_path, {**SECTIONS, "cluster": cluster}) == (
        f"cluster.extra: --{option} is set by the submission"
    )
    (tmp_path / "klc.yaml").write_text(f"extra: {{{written}: x}}")
    cluster = {"executor": "slurm", "template": "klc.yaml"}
    assert rejection(tmp_path, {**SECTIONS, "cluster": cluster}) == (
        f"{tmp_path}/klc.yaml: extra: --{option} is set by the submission"
    )


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("nodes", "--nodes is not allowed: a shard is one process, and further copies would pay"),
        ("N", "-N (--nodes) is not allowed: a shard is one process, and further copies would pay"),
        ("ntasks_per_node", "--ntasks-per-node is not allowed: a shard is one process"),
        ("ntasks-per-n", "--ntasks-per-node is not allowed: a shard is one process"),
        ("partition", "--partition has a key of its own: partition"),
        ("p", "-p (--partition) has a key of its own: partition"),
        ("t", "-t (--time) has a key of its own: time_min"),
        ("mem", "--mem has a key of its own: mem_gb"),
        ("mem_per_cpu", "--mem-per-cpu has a key of its own: mem_per_cpu"),
        ("cpus-per-task", "--cpus-per-task has a key of its own: cpus"),
        ("clusters", "--clusters has a key of its own: cluster_name"),
        ("export", "--export is not allowed: a task needs the environment that submits it"),
        ("O", "-O is not allowed: give the long name of the option"),
    ],
)
def test_an_option_that_fights_our_own_is_rejected(
    tmp_path: Path, option: str, problem: str
) -> None:
    cluster = {"executor": "slurm", "extra": {option: 1}}
    message = rejection(tmp_path, {**SECTIONS, "cluster": cluster})
    assert message.startswith(f"cluster.extra: {problem}")


@pytest.mark.parametrize("several", ["wice,genius", "all", "wice genius"])
def test_a_run_goes_to_one_cluster(tmp_path: Path, several: str) -> None:
    cluster = {"executor": "slurm", "cluster_name": several}
    message = rejection(tmp_path, {**SECTIONS, "cluster": cluster})
    assert message.startswith("cluster.cluster_name: should name one cluster")


def test_memory_is_given_once(tmp_path: Path) -> None:
    cluster = {"executor": "slurm", "mem_gb": 4, "mem_per_cpu": 2}
    assert rejection(tmp_path, {**SECTIONS, "cluster": cluster}) == (
        "cluster.mem_per_cpu: give either mem_gb or mem_per_cpu, not both"
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("accounts: kellogg", "accounts: unknown key (did you mean 'account'?)"),
        ("ntasks: 4", "ntasks: unknown key"),
        ("max_parallel: 2", "max_parallel: unknown key"),
        ("mem_gb: lots", "mem_gb: should be a number, more than 0, not 'lots'"),
        (
            "- partition: short",
            "the file: should be a mapping of keys, not [{'partition': 'short'}]",
        ),
    ],
)
def test_a_mistake_in_a_template_names_the_template(
    tmp_path: Path, template: str, message: str
) -> None:
    (tmp_path / "klc.yaml").write_text(template)
    cluster = {"executor": "slurm", "template": "klc.yaml"}
    found = rejection(tmp_path, {**SECTIONS, "cluster": cluster})
    assert found == f"{tmp_path}/klc.yaml: {message}"


@pytest.mark.parametrize("template", [b"a: [", b"\xff\xfe partition", b"a: b: c"])
def test_a_template_that_is_no_yaml_is_rejected_as_such(tmp_path: Path, template: bytes) -> None:
    (tmp_path / "klc.yaml").write_bytes(template)
    cluster = {"executor": "slurm", "template": "klc.yaml"}
    assert rejection(tmp_path, {**SECTIONS, "cluster": cluster}).startswith(
        f"cluster.template: {tmp_path}/klc.yaml is not valid YAML: "
    )


def test_a_template_that_is_missing_is_reported_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    cluster = {"executor": "slurm", "template": "klc.yaml"}
    assert rejection(tmp_path, {**SECTIONS, "cluster": cluster}) == (
        f"cluster.template: there is no file {tmp_path}/klc.yaml or {working}/klc.yaml"
    )


def test_a_file_that_is_missing_or_no_mapping_is_reported_by_name(tmp_path: Path) -> None:
    missing = tmp_path / "no.yaml"
    with pytest.raises(InputError) as rejected:
        run_config.load(missing)
    assert str(rejected.value) == (
        f"the configuration {missing} cannot be read: No such file or directory"
    )
    assert rejection(tmp_path, "- a\n- b\n") == (
        f"{tmp_path / 'run.yaml'} should be a mapping of keys: see docs/reference/configuration.md"
    )


@pytest.mark.parametrize(
    "content", [b"name: [", b"name: \xff", b"name: \0", b"a: b: c", b"name: 2024-13-01"]
)
def test_a_file_that_is_no_yaml_is_reported_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as rejected:
        run_config.load(path)
    assert str(rejected.value).startswith(f"{path} is not valid YAML: ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("classifier: {type: a}\nname: v\nclassifier: {type: b}\n",
         "line 3, column 1: the key 'classifier' occurs twice\n  classifier: {type: b}\n  ^"),
        ("classifier:\n  labels: {toxic: a, 'toxic': b}\n",
         "line 2, column 22: the key 'toxic' occurs twice\n"),
        ('name: "\\ud83e"\n',
         "line 1, column 7: half a character (\\ud800 to \\udfff)\n"),
        ("name: a\nbacklog: {source: p}\n  sharding: 3\n",
         "line 3, column 3: expected <block end>, but found '<block mapping start>', while parsing "
         "a block mapping in line 1\n    sharding: 3\n    ^"),
        ("name: \0", "position 7: the character U+0000 is not allowed"),
        ("backlog:\n  source: **/*.csv\n",
         "line 2: a text that begins with * needs quotes around it"),
        ("backlog: {ignore: [drafts, *.csv]}\n",
         "line 1: a text that begins with * needs quotes around it"),
    ],
)  # fmt: skip
def test_what_yaml_takes_otherwise_than_it_is_meant_is_rejected(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "run.yaml"
    assert rejection(tmp_path, text).startswith(f"{path} is not valid YAML: {problem}")


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("sharding.shards", "overrides 'sharding.shards': should look like sharding.shards=10"),
        ("=5", "overrides '=5': should look like sharding.shards=10"),
        ("name.first=5", "overrides 'name.first=5': name holds no keys"),
        ("sharding.shrads=5", "overrides: sharding.shrads: unknown key (did you mean 'shards'?)"),
        (
            "sharding.shards=many",
            "overrides: sharding.shards: should be a whole number, 1 or more, not 'many'",
        ),
    ],
)
def test_an_override_is_checked_as_strictly_as_the_file(
    tmp_path: Path, override: str, problem: str
) -> None:
    assert rejection(tmp_path, SECTIONS, override) == problem


def test_each_problem_names_where_its_value_comes_from(tmp_path: Path) -> None:
    sections = {**SECTIONS, "sharding": {"shrads": 5}}
    message = rejection(tmp_path, sections, "cluster.max_paralel=3", "classifier={type: valance}")
    of_file, _, of_overrides = message.partition("\noverrides: ")
    paths = ("sharding.shrads", "cluster.max_paralel", "classifier.type")
    assert [path in of_file for path in paths] == [True, False, False]
    assert [path in of_overrides for path in paths] == [False, True, True]


def test_an_override_that_is_no_yaml_is_rejected(tmp_path: Path) -> None:
    assert rejection(tmp_path, SECTIONS, "name=[").startswith(
        "overrides 'name=[': the value is not valid YAML: "
    )


@pytest.mark.parametrize(
    "override", ["x" * 60_000, "name.first=" + "x" * 60_000, "name=" + "[" * 60_000]
)
def test_a_long_override_is_not_shown_whole(tmp_path: Path, override: str) -> None:
    assert len(rejection(tmp_path, SECTIONS, override)) < 1_000


@pytest.mark.parametrize("name", ["run.yaml", "cluster.yaml", "prompt.md"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((error, UnreadableError) for error in (errno.EIO, errno.ESTALE, errno.EMFILE)),
        *((error, UnreadableError) for error in (errno.ENFILE, errno.ENOMEM)),
        *((error, InputError) for error in (errno.EACCES, errno.EISDIR, errno.ENOENT)),
    ],
    ids=errno.errorcode.get,
)
def test_a_file_that_this_machine_cannot_read_now_is_no_mistake_of_a_person(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: int,
    expected: type[Exception],
) -> None:
    def open_regular(path: Path) -> int:
        if path.name == name:
            raise OSError(error, os.strerror(error), str(path))
        return open_it(path)

    open_it = limits.open_regular
    monkeypatch.setattr(limits, "open_regular", open_regular)
    (tmp_path / "cluster.yaml").write_text("cpus: 2")
    (tmp_path / "prompt.md").write_text("Is it toxic?")
    cluster = {"executor": "slurm", "template": "cluster.yaml"}
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps({**SECTIONS, "cluster": cluster}))
    problems = Problems()
    inputs = InputFiles(source=str(path), path="classifier", folders=(tmp_path,), problems=problems)

    def read() -> None:
        run_config.load(path)
        inputs.text("prompt", "prompt.md")
        problems.raise_any()

    with pytest.raises(expected) as raised:
        read()
    assert f"{tmp_path / name} cannot be read" in str(raised.value)
    assert os.strerror(error) in str(raised.value)
