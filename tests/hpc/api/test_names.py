"""The names of the library: the same for people and for type checkers, and loaded when used."""

import ast
import inspect
import subprocess
import sys

import pytest

from hpc import api
from tests.docs.pages import ROOT

HEAVY = ("duckdb", "pyarrow", "rich", "msgspec")


def checked_names() -> dict[str, str]:
    """Return the names that a type checker sees, with their modules."""
    return {
        alias.name: str(node.module)
        for block in ast.walk(ast.parse(inspect.getsource(api)))
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_a_type_checker_sees_each_name_where_it_is() -> None:
    names = checked_names()
    assert sorted(names) == api.__all__
    for name, module in names.items():
        assert getattr(api, name) is getattr(sys.modules[module], name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sumbit'"):
        _ = api.sumbit


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_import_of_the_library_loads_nothing_heavy() -> None:
    assert loaded_by("from hpc import api") & {*HEAVY, "hpc.api.submission"} == set()


def test_a_verb_loads_only_its_part_of_the_library() -> None:
    loaded = loaded_by("import hpc.gather")
    parts = {name for name in loaded if name.startswith("hpc.api.")}
    assert "hpc.api.gathering" in parts
    others = ("submission", "label_table", "comparing", "drawing", "notebook_screen")
    assert parts & {f"hpc.api.{name}" for name in others} == set()
