"""Find runs: by an id, the beginning of one, a name or a folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hpc.runs import find_runs
from pipeline.errors import InputError, RunError
from tests.pipeline import run_builders

OTHER = "20240602T120000-valence-89abcdef"


def refusal(error: type[Exception], act: Any, *arguments: Any) -> str:
    with pytest.raises(error) as raised:
        act(*arguments)
    return str(raised.value)


def test_a_run_is_chosen_by_id_or_folder_and_by_default_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    older, _ = run_builders.make_run(tmp_path, run_builders.posts(1))
    newer, _ = run_builders.make_run(tmp_path, run_builders.posts(1), run_id=OTHER)
    (root / ".planning-20250101T000000-x").mkdir()
    (root / "20990101T000000-unfinished").mkdir()
    assert find_runs.all_runs(root) == [older, newer]
    assert find_runs.find(root, None).folder == newer
    assert find_runs.find(root, run_builders.RUN_ID).folder == older
    assert find_runs.find(Path("/nowhere"), str(older)).folder == older
    monkeypatch.chdir(older.parent)
    assert find_runs.find(Path("/nowhere"), OTHER).folder == newer


def test_codings_of_people_are_the_newest_run_only_where_there_is_no_other(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    classified, _ = run_builders.make_run(tmp_path, run_builders.posts(1))
    coded, _ = run_builders.make_run(tmp_path, run_builders.posts(1), run_id=OTHER)
    path = coded / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "classifier": {"type": "human"}}))
    assert find_runs.find(root, None).folder == classified
    assert find_runs.find(root, OTHER).folder == coded
    shutil.rmtree(classified)
    assert find_runs.find(root, None).folder == coded


def test_the_error_for_a_missing_run_says_so(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    assert find_runs.all_runs(root) == []
    assert refusal(InputError, find_runs.find, root, None).startswith(
        f"there is no run under {root}:"
    )
    assert refusal(InputError, find_runs.find, root, "x").startswith("there is no run x")


def test_the_beginning_of_an_id_chooses_a_run_and_opens_no_other_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    wanted, _ = run_builders.make_run(tmp_path, run_builders.posts(1))
    other, _ = run_builders.make_run(tmp_path, run_builders.posts(1), run_id=OTHER)
    (other / "manifest.json").write_text("{")
    assert find_runs.find(root, "20240601").folder == wanted
    assert find_runs.find(root, "valence-0123").folder == wanted
    monkeypatch.chdir(tmp_path)
    assert find_runs.find(Path("/nowhere"), "runs/20240601").folder == wanted
    message = refusal(InputError, find_runs.find, root, "2024")
    assert [line.strip() for line in message.splitlines()[1:]] == [OTHER, run_builders.RUN_ID]


def test_a_name_means_its_newest_run_that_is_not_codings(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    classified, _ = run_builders.make_run(tmp_path, run_builders.posts(1))
    coded, _ = run_builders.make_run(tmp_path, run_builders.posts(1), run_id=OTHER)
    path = coded / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "classifier": {"type": "human"}}))
    assert find_runs.find(root, "valence").folder == classified
    shutil.rmtree(classified)
    assert find_runs.find(root, "valence").folder == coded


def test_a_run_that_cannot_be_read_is_named_and_no_older_one_taken_for_it(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    run_builders.make_run(tmp_path, run_builders.posts(1))
    newer, _ = run_builders.make_run(tmp_path, run_builders.posts(1), run_id=OTHER)
    (newer / "manifest.json").unlink()
    for wanted in ("valence", OTHER, "20240602"):
        assert OTHER in refusal(RunError, find_runs.find, root, wanted)


@pytest.mark.parametrize("number", [3, 12])
def test_at_most_ten_candidates_are_listed(tmp_path: Path, number: int) -> None:
    for day in range(number):
        (tmp_path / f"202406{day + 1:02d}T000000-valence-0123abcd" / "shards").mkdir(parents=True)
    lines = refusal(InputError, find_runs.find, tmp_path, "2024").splitlines()
    assert len(lines) == min(number, 11) + 1
    of_shard = refusal(InputError, find_runs.find, tmp_path, "2").splitlines()
    assert len(of_shard) == len(lines) + 1
    assert "hpc logs 2" in of_shard[-1]


@pytest.mark.parametrize("wanted", ["", " ", "*", "../runs/", "x" * 5000, "\x1b[31m", "\udce9"])
def test_a_hostile_argument_is_no_run(tmp_path: Path, wanted: str) -> None:
    run_builders.make_run(tmp_path, run_builders.posts(1))
    with pytest.raises(InputError):
        find_runs.find(tmp_path / "runs", wanted)
