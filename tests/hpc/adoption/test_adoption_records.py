"""The number of an adoption is used once, whatever happens to the records of earlier ones."""

import json
import shutil
from pathlib import Path

import pytest

from tests.hpc.adoption.engine import EXTERNAL, Row, hand_over, label, write_lines
from tests.hpc.cli_bench import Bench
from tests.hpc.snapshot import Snapshot

MISSING = ("--missing", "late")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    made = Bench(tmp_path_factory.mktemp("adopted-once"))
    made.config(8, classifier=EXTERNAL)
    run = hand_over(made)
    write_lines(run / "answers" / "a.jsonl", label(run)[:2])
    made.document("adopt", run / "answers", code=3)
    return Snapshot(made)


@pytest.fixture
def bench(snapshot: Snapshot) -> Bench:
    """A project whose run has adopted the answers to two of eight posts."""
    return snapshot.restore()


@pytest.fixture
def run(bench: Bench) -> Path:
    return bench.runs()[0]


def adopt(bench: Bench, run: Path, rows: list[Row], *arguments: str, code: int = 0) -> int:
    """Return the number of an adoption of these answers."""
    folder = bench.folder / f"answers-{len(rows)}"
    write_lines(folder / "b.jsonl", list(rows))
    number: int = bench.document("adopt", folder, run, *arguments, code=code)["adoption"]
    return number


def set_aside(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "outputs").glob("*.replaced-*")}


def test_an_adoption_has_a_new_number_after_older_records_were_restored(
    bench: Bench, run: Path
) -> None:
    rows = label(run)
    assert adopt(bench, run, rows[:4], *MISSING) == 2
    older = shutil.copytree(run / "adoptions", bench.folder / "older")
    assert adopt(bench, run, rows[:6], *MISSING) == 3
    before = set_aside(run)
    shutil.rmtree(run / "adoptions")
    shutil.copytree(older, run / "adoptions")
    assert adopt(bench, run, rows[:7], *MISSING) == 4
    after = set_aside(run)
    assert (len(before), len(after)) == (1, 2)
    assert before.items() <= after.items()


def test_an_adoption_has_a_new_number_after_the_records_of_kept_answers_were_lost(
    bench: Bench, run: Path
) -> None:
    shutil.rmtree(run / "adoptions")
    assert adopt(bench, run, label(run)) == 2
    assert bench.query("SELECT DISTINCT attempt FROM labels_test") == [(2,)]
    shutil.rmtree(run / "adoptions")
    again = bench.document("adopt", run / "answers")
    assert (again["adoption"], again["adopted_before"]) == (None, 2)


def test_an_adoption_has_a_new_number_after_the_records_of_outputs_were_lost(
    bench: Bench, run: Path
) -> None:
    rows = label(run)
    assert adopt(bench, run, rows[:4], code=3) == 2
    shutil.rmtree(run / "adoptions")
    assert adopt(bench, run, rows) == 3


@pytest.mark.parametrize("name", ["999999999999.json", "2.json", "0002.json.swp", "copy.json"])
def test_a_file_that_is_no_record_is_in_nobodys_way(bench: Bench, run: Path, name: str) -> None:
    (run / "adoptions" / name).touch()
    assert adopt(bench, run, label(run)) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"format": 1}', "of another adoption"])
def test_a_damaged_record_is_named_until_it_is_moved_away(
    bench: Bench, run: Path, damage: str
) -> None:
    record = run / "adoptions" / "0001.json"
    of_another = json.dumps({**json.loads(record.read_text()), "number": 7})
    record.write_text(of_another if damage == "of another adoption" else damage)
    rows = label(run)
    write_lines(run / "answers" / "b.jsonl", rows)
    before = bench.listing()
    for arguments in (("adopt", run / "answers"), ("report", "test", "--config", bench.path)):
        done = bench.hpc(*arguments)
        assert done.returncode == 1, done
        assert [part for part in (str(record), "move it out") if part not in done.stderr] == []
    assert bench.listing() == before
    record.rename(bench.folder / "0001.json")
    assert adopt(bench, run, rows) == 2
