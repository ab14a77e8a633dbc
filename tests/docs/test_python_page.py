"""The examples of the page on Python run, one after another in one program, and type-check."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, read
from tests.docs.test_tutorials import Reader

PAGE = "docs/how-to/use-from-python.md"


def program() -> str:
    return "\n".join(block.text for block in read(PAGE).blocks if block.language == "python")


def test_the_examples_on_the_page_run(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("scipy")
    printed = Reader(tmp_path).run_python(program()).splitlines()
    assert {
        "CheckResult(errors=0, warnings=0, exit_code=0)",
        "200 posts in 1 shards",
        "complete 200 of 200",
        "197 ['uri', 'compound']",
        "coding.csv 20 of 195",
        "[(200,)]",
        "200",
        "[('valence', 'complete', 200)]",
        "() would be submitted again",
        "20 of 20 posts are coded by anna",
        "valence.html",
        "False 3",
        "sample: size should be a whole number, not '20' (str)",
    } <= set(printed)


def test_the_examples_pass_a_strict_type_checker(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    wrong = "api.submit(1, wiat=True)\nreveal_type(api.status().shards[0].cause)\n"
    script.write_text(f"{program()}\n{wrong}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file",
         str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache"),
         "--follow-imports", "silent", str(script)],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "MYPYPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    codes = [line.rsplit("[", 1)[-1] for line in done.stdout.splitlines() if "error:" in line]
    assert codes == ["call-arg]", "arg-type]"], done.stdout + done.stderr
    assert 'Revealed type is "pipeline.errors.Cause | None"' in done.stdout
