"""Submit and audit count and name every file of a source that they did not read."""

import bz2
import gzip
import lzma
from typing import Any

import pytest

from tests.hpc.cli_bench import Bench, outcome
from tests.pipeline.backlog.source_files import STAMP, csv_file, json_lines_file

HIDDEN = "hidden, because a name in its path begins with . or _"


@pytest.fixture
def mixed(bench: Bench) -> Bench:
    """A folder with six posts in files that no name tells, and much that is no post."""
    folder = bench.folder / "in"
    plain = json_lines_file(folder / "a.jsonl", [("a1", "a fine day", STAMP)])
    content = plain.read_bytes()
    compress = {"b.JSONL.GZ": gzip.compress, "c.bz2": bz2.compress, "d.data": lzma.compress}
    for name, function in compress.items():
        (folder / name).write_bytes(function(content.replace(b"a1", name.encode())))
    json_lines_file(folder / "deep" / "part-00001", [("e1", "a fine day", STAMP)])
    (folder / "f.jsonl.1").write_bytes(content.replace(b"a1", b"f1"))
    (folder / "README.md").write_text("notes\n")
    (folder / "empty.jsonl").touch()
    (folder / "_SUCCESS").touch()
    json_lines_file(folder / "_old.jsonl", [("h1", "a fine day", STAMP)])
    bench.config(backlog={"source": "in"}, classifier={"type": "valence"})
    return bench


def left_out(bench: Bench, report: dict[str, Any]) -> dict[str, str]:
    paths = {each["path"]: each["why"] for each in report["left_out"]}
    return {path.removeprefix(f"{bench.folder}/"): why for path, why in paths.items()}


def test_all_files_are_read_or_named_and_runs_are_never_read(mixed: Bench) -> None:
    expected = {
        "in/README.md": "not a data file", "in/empty.jsonl": "empty", "in/_old.jsonl": HIDDEN,
    }  # fmt: skip
    done = mixed.document("submit", "--config", mixed.path, code=0)
    assert (done["posts"], done["files"], left_out(mixed, done)) == (6, 6, expected)
    again = mixed.document("submit", "--config", mixed.path, "--dry-run", code=0)
    assert (again["posts"], again["files"], left_out(mixed, again)) == (0, 6, expected)
    audit = mixed.document("audit", "--config", mixed.path, code=0)
    assert (audit["expected"], audit["files"], left_out(mixed, audit)) == (6, 6, expected)


def test_a_source_that_holds_the_runs_never_reads_them(mixed: Bench) -> None:
    ignored = "--set=backlog.ignore=['run.yaml', site, scripts, shard_scripts, '*.log']"
    around = ("--config", mixed.path, "--set", "backlog.source=.", ignored)
    assert mixed.document("submit", *around, code=0)["posts"] == 6
    for source in (".", "'**/*'", "'**/*.parquet'"):
        words = ("--config", mixed.path, "--set", f"backlog.source={source}", ignored, "--dry-run")
        done = mixed.hpc("submit", *words, "--json")
        assert outcome(done)[0] == (2 if "parquet" in source else 0)


def test_data_that_cannot_be_read_is_rejected_until_it_is_ignored(mixed: Bench) -> None:
    (mixed.folder / "in" / "g.parquet").write_text("half a file")
    csv_file(mixed.folder / "in" / "h.csv", [("h1", "a fine day", STAMP)])
    for verb in ("submit", "audit"):
        assert outcome(mixed.hpc(verb, "--config", mixed.path))[0] == 2
    ignore = "--set=backlog.ignore=['*.parquet', '*.csv']"
    done = mixed.document("submit", "--config", mixed.path, ignore, "--dry-run", code=0)
    assert (done["posts"], done["files"]) == (6, 6)
    ignored = "excluded by backlog.ignore"
    assert {path for path, why in left_out(mixed, done).items() if why == ignored} == {
        "in/g.parquet", "in/h.csv",
    }  # fmt: skip


@pytest.mark.parametrize("ignore", ["'*.csv'", "[1]", "['/data/*.csv']", "['']"])
def test_a_wrong_pattern_is_rejected(mixed: Bench, ignore: str) -> None:
    code, _ = outcome(
        mixed.hpc("submit", "--config", mixed.path, "--set", f"backlog.ignore={ignore}")
    )
    assert code == 2
