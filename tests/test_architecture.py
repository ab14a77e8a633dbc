"""The rules of the architecture, read off the source: who may import whom."""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hpc.command_line.cli import VERBS
from hpc.config.run_config import ConfigurationFile
from pipeline.classifiers import registry
from pipeline.config.keys import Section, keys_of, section_in

ROOT = Path(__file__).parents[1]
PACKAGES = ("hpc", "pipeline")
MODULES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): (
        path
    )
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
VERB_MODULES = {f"hpc.{verb}" for verb in VERBS}
MOST_MODULES_IN_A_FOLDER = 20
SHIPPED = ("perspective", "llm", "guard", "moderation", "transformers", "valence", "external")

# These decide what happens to a run, so each of them has to say that it is pure.
DECIDING = ("judge", "causes", "remedies", "array_plan", "selection", "plan")
# What a pure module may use of the standard library, and of it only what does no I/O.
HARMLESS = {"__future__", "collections", "dataclasses", "datetime", "enum", "fractions"}
HARMLESS |= {
    "difflib",
    "functools",
    "heapq",
    "itertools",
    "math",
    "msgspec",
    "numpy",
    "pathlib",
    "re",
}
HARMLESS |= {"statistics", "types", "typing"}
DOES_IO = {"Path", "input", "open", "print"}
# The values that all of the project is written in; every other package has one home.
EVERYWHERE = {"duckdb", "msgspec", "numpy", "pyarrow"}


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every import; `import x` has no name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports are absolute"
            yield from ((node.module, alias.name) for alias in node.names)


def imported_modules(name: str) -> set[str]:
    """Return the modules that a module imports: `from hpc.run import judge` means hpc.run.judge."""
    found = set()
    for module, attribute in imports(TREES[name]):
        inner = f"{module}.{attribute}"
        found.add(inner if inner in MODULES else module)
    return {module for module in found if module.split(".")[0] in PACKAGES} - {name}


def part_of(module: str) -> str:
    """Return the part of the project that a module belongs to: `hpc.run`, or a module beside it."""
    return ".".join(module.split(".")[:2])


def is_pure(name: str) -> bool:
    return bool(re.search(r"\bPure\.", ast.get_docstring(TREES[name]) or ""))


def find_circle(arrows: Mapping[str, set[str]]) -> list[str]:
    """Return the nodes of one circle in the order of its arrows; empty where there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for target in sorted(arrows.get(node, ())):
            if circle := walk(target, [*path, node]):
                return circle
        done.add(node)
        return []

    return next((circle for node in sorted(arrows) if (circle := walk(node, []))), [])


def test_the_rules_look_at_the_whole_project() -> None:
    assert {"hpc.command_line.cli", "hpc.run.judge", "pipeline.worker.process"} <= MODULES.keys()
    assert MODULES.keys() >= VERB_MODULES


def test_a_circle_is_found() -> None:
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_what_runs_on_a_node_knows_nothing_of_the_login_node() -> None:
    roots = {
        name: {module.split(".")[0] for module, _ in imports(tree)} & {"hpc", "tests"}
        for name, tree in TREES.items()
        if name.split(".")[0] == "pipeline"
    }
    assert {name: wrong for name, wrong in roots.items() if wrong} == {}


def test_nothing_imports_a_verb() -> None:
    verbs = {name: imported_modules(name) & VERB_MODULES for name in MODULES}
    assert {name: wrong for name, wrong in verbs.items() if wrong} == {}


@pytest.mark.parametrize("name", [f"hpc.run.{name}" for name in DECIDING])
def test_what_decides_about_a_run_says_that_it_is_pure(name: str) -> None:
    assert is_pure(name)


@pytest.mark.parametrize("name", [name for name in MODULES if is_pure(name)])
def test_what_is_pure_uses_values_types_and_pure_functions_only(name: str) -> None:
    for module, attribute in imports(TREES[name]):
        if module.split(".")[0] in PACKAGES:
            assert attribute, f"{name} imports the whole of {module}"
            is_type_or_constant = attribute[0].isupper()
            assert is_type_or_constant or is_pure(module), f"{name} imports {attribute} of {module}"
        else:
            assert module.split(".")[0] in HARMLESS, f"{name} imports {module}"
            assert module != "pathlib" or attribute == "Path"
    calls = {node.func.id for node in ast.walk(TREES[name])
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    assert calls & DOES_IO == set()


def test_modules_import_one_another_in_no_circle() -> None:
    assert find_circle({name: imported_modules(name) for name in MODULES}) == []


def test_parts_import_one_another_in_no_circle() -> None:
    arrows: dict[str, set[str]] = defaultdict(set)
    for name in MODULES:
        parts = {part_of(module) for module in imported_modules(name)}
        arrows[part_of(name)] |= parts - {part_of(name)}
    assert find_circle(arrows) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_each_outside_package_is_used_in_one_folder(package: str) -> None:
    """A folder may be a package's home for either side: the login node, or what runs on a node."""
    users: dict[str, set[str]] = defaultdict(set)
    for name, path in MODULES.items():
        for module, _ in imports(TREES[name]):
            outside = module.split(".")[0]
            is_ours = outside in PACKAGES or outside in EVERYWHERE
            if name.split(".")[0] == package and not is_ours:
                users[outside].add(path.parent.relative_to(ROOT).as_posix())
    scattered = {
        outside: folders
        for outside, folders in users.items()
        if len(folders) > 1 and (outside == "fcntl" or outside not in sys.stdlib_module_names)
    }
    assert scattered == {}


def test_nothing_is_imported_inside_a_function() -> None:
    inside = [
        f"{name}, line {statement.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in ast.walk(node)
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_no_folder_holds_more_modules_than_a_reader_can_scan() -> None:
    packages = (*PACKAGES, "tests")
    paths = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    # The verbs are at the top of `hpc/` for `python -m hpc.VERB`, and nothing else is beside them.
    verbs = {MODULES[verb] for verb in VERB_MODULES}
    beside = {path.name for path in (ROOT / "hpc").glob("*.py") if path not in verbs}
    assert beside == {"__init__.py", "__main__.py"}
    counted = [path for path in paths if path.name != "__init__.py" and path not in verbs]
    folders = Counter(path.parent for path in counted)
    crowded = {folder: n for folder, n in folders.items() if n > MOST_MODULES_IN_A_FOLDER}
    assert {str(folder.relative_to(ROOT)): count for folder, count in crowded.items()} == {}


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
    classifiers = (registry.load(kind).options_type for kind in SHIPPED)
    keys = configuration_keys().union(*map(configuration_keys, classifiers))
    assert {"name", "source", "rows_per_shard", "template", "requests_per_minute"} <= keys
    assert {key for key in keys if not re.search(rf"\b{key}\b", readme)} == set()
