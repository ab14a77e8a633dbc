"""The arrows between the rooms, read off the source, and that the README knows what exists."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.cli import VERBS
from hpc.run.run_config import ConfigurationFile
from pipeline.classifiers import base
from pipeline.config.keys import Section, keys_of, section_in

ROOT = Path(__file__).parents[1]
ROOMS = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path
    for room in ("hpc", "pipeline")
    for path in sorted((ROOT / room).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in ROOMS.items()}
MOST_MODULES = 20
SHIPPED = ("llm", "perspective", "transformers", "valence")

PURE = {
    *(f"hpc.run.{name}" for name in ("array_indices", "array_plan", "causes", "judge", "model",
                                     "remedies", "selection")),
    *("hpc.executors.slurm.parse", "hpc.executors.slurm.states", "hpc.database.history_rows"),
    *("hpc.run.next_step", "hpc.run.run_state"),
    *(f"hpc.report.{name}" for name in ("backlog_audit", "blocks", "status_table", "usage")),
    "hpc.planning.estimate",
    *(f"pipeline.analysis.{name}" for name in ("agreement", "bootstrap", "results")),
}  # fmt: skip
HARMLESS = {"collections", "dataclasses", "datetime", "enum", "fractions", "itertools", "math",
            "re", "typing", "pathlib", "numpy"}  # fmt: skip
# Values of other rooms, beside their types, that the pure modules may use: pure as well.
PURE_FUNCTIONS = {
    "pipeline.text.counted",
    "pipeline.text.format_duration",
    "pipeline.text.estimated_duration",
    "pipeline.usage.cost_options",
}
# Each outside program and package has one door.
DOORS = {
    "submitit": {"hpc.executors.slurm.submitit_executor", "pipeline.worker.submitit_task"},
    "subprocess": {
        *("hpc.executors.slurm.client", "hpc.executors.local.tasks", "hpc.planning.provenance"),
        *("pipeline.classifiers.llm.server.guard", "pipeline.classifiers.llm.server.process"),
    },
    "requests": {"pipeline.service.endpoint"},
    "yaml": {"pipeline.config.strict_yaml"},
    "fcntl": {"hpc.run.run_folder"},
    "scipy": {"pipeline.analysis.statistics"},
    "sklearn": {"pipeline.analysis.statistics"},
    "torch": {
        "pipeline.classifiers.transformers.pretrained",
        "pipeline.classifiers.transformers.sequence_model",
    },
    "transformers": {"pipeline.classifiers.transformers.pretrained"},
    "huggingface_hub": {"pipeline.classifiers.transformers.hub"},
    "numpy": {
        "pipeline.analysis.agreement",
        "pipeline.analysis.bootstrap",
        "pipeline.analysis.statistics",
        "pipeline.analysis.measures",
        "pipeline.analysis.calibration",
    },
}


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of every import; `import x` has no name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level
            yield from ((node.module, alias.name) for alias in node.names)


def modules(tree: ast.AST) -> set[str]:
    """Every module that may be meant: `from hpc import cli` means hpc.cli."""
    found = list(imports(tree))
    return {module for module, _ in found} | {f"{module}.{name}" for module, name in found}


def test_there_are_modules_to_look_at() -> None:
    assert ROOMS.keys() >= PURE
    assert {"hpc.cli", "pipeline.worker.process", "pipeline.classifiers.base"} <= ROOMS.keys()


@pytest.mark.parametrize("name", [name for name in ROOMS if name.startswith("pipeline")])
def test_what_runs_on_a_node_knows_nothing_of_the_login_node(name: str) -> None:
    assert {at for at in modules(TREES[name]) if at.split(".")[0] in ("hpc", "tests")} == set()


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_know_nothing_of_one_another(verb: str) -> None:
    others = {f"hpc.{other}" for other in VERBS if other != verb}
    assert modules(TREES[f"hpc.{verb}"]) & others == set()


@pytest.mark.parametrize("name", [f"hpc.{verb}" for verb in VERBS])
def test_nothing_but_the_shell_knows_a_verb(name: str) -> None:
    assert {other for other, tree in TREES.items() if name in modules(tree)} == set()


@pytest.mark.parametrize("name", sorted(PURE))
def test_what_is_pure_uses_values_and_types_only(name: str) -> None:
    for module, used in imports(TREES[name]):
        if module.split(".")[0] in ("hpc", "pipeline"):
            assert used, f"{name} imports the whole of {module}"
            is_type = used[0].isupper()
            known = module in PURE or f"{module}.{used}" in PURE_FUNCTIONS
            assert is_type or known, f"{name} imports {used} of {module}"
        else:
            assert module.split(".")[0] in HARMLESS, f"{name} imports {module}"
            assert module != "pathlib" or used == "Path"
    calls = {node.func.id for node in ast.walk(TREES[name])
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    assert calls & {"open", "print", "input", "Path"} == set()


@pytest.mark.parametrize("package", DOORS)
def test_each_outside_program_has_its_door(package: str) -> None:
    users = {
        name for name, tree in TREES.items()
        if any(module.split(".")[0] == package for module, _ in imports(tree))
    }  # fmt: skip
    assert users == DOORS[package]


@pytest.mark.parametrize("name", ROOMS)
def test_nothing_is_imported_inside_a_function(name: str) -> None:
    inside = [
        statement.lineno
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in ast.walk(node)
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_no_folder_holds_more_modules_than_a_reader_can_scan() -> None:
    folders = Counter(path.parent for path in ROOMS.values())
    crowded = {folder: count for folder, count in folders.items() if count > MOST_MODULES}
    assert {folder.relative_to(ROOT): n for folder, n in crowded.items()} == {}


def configuration_keys(section: type[Section] = ConfigurationFile) -> set[str]:
    """Return every key that a section and the sections in it declare."""
    keys = set()
    for name, key in keys_of(section).items():
        inner = section_in(key.annotation)
        keys |= {name, *(configuration_keys(inner) if inner else ())}
    return keys


@pytest.fixture(scope="module")
def readme() -> str:
    """The README and the pages that it leads to."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def test_the_readme_names_every_verb(readme: str) -> None:
    named = {verb for verb in VERBS if re.search(rf"(hpc\.|hpc |`){verb}\b", readme)}
    assert named == set(VERBS)


def test_the_readme_names_every_configuration_key(readme: str) -> None:
    classifiers = (base.load(kind).options_type for kind in SHIPPED)
    keys = configuration_keys().union(*map(configuration_keys, classifiers))
    assert {"name", "source", "rows_per_shard", "template", "requests_per_minute"} <= keys
    assert {key for key in keys if not re.search(rf"\b{key}\b", readme)} == set()
