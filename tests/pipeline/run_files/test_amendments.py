"""The corrections of a run: immutable files, applied to the manifest in order."""

import json
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.model import WorkOrder
from pipeline.run_files import amendments, manifest
from pipeline.run_files.amendments import Amendment, Change
from pipeline.run_files.manifest import Manifest
from tests.pipeline import run_builders


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Manifest]:
    return run_builders.make_run(tmp_path, run_builders.posts(4), shards=2)


def change(place: str, new: object, old: object = None) -> Change:
    return Change(key=place, place=place, old=old, new=new)


def amendment(number: int, *changes: Change) -> Amendment:
    return Amendment(
        format=amendments.FORMAT, number=number, amended_at="2026-11-29T20:00:00",
        amended_by="ana", version="1", after_attempt=number, changes=changes,
    )  # fmt: skip


ACCOUNT = change("cluster.resources.account", "kellogg")
FIRST = amendment(1, ACCOUNT, change("retry.max_attempts", 9))
SECOND = amendment(2, change("cluster.resources.account", "booth"), change("checkpoint_rows", 7))


def write(folder: Path, *written: Amendment) -> None:
    for each in written:
        amendments.write(folder, each)


def problem(folder: Path) -> str:
    with pytest.raises(InputError) as raised:
        amendments.apply(manifest.read(folder), amendments.read(folder), folder)
    return str(raised.value)


def test_the_last_amendment_of_a_key_holds_and_the_manifest_stays_as_it_is(
    run: tuple[Path, Manifest],
) -> None:
    folder, made = run
    before = (folder / manifest.FILE_NAME).read_bytes()
    write(folder, FIRST, SECOND)
    assert amendments.read(folder) == (FIRST, SECOND)
    holds = amendments.apply(made, amendments.read(folder), folder)
    assert holds.cluster["resources"]["account"] == "booth"  # type: ignore[index]
    assert (holds.retry, holds.checkpoint_rows) == ({"max_attempts": 9}, 7)
    assert (holds.shards, holds.classifier, holds.config_hash) == (
        made.shards, made.classifier, made.config_hash,
    )  # fmt: skip
    assert made == manifest.read(folder)
    assert (folder / manifest.FILE_NAME).read_bytes() == before


def test_a_run_without_amendments_is_as_it_was_made(run: tuple[Path, Manifest]) -> None:
    folder, made = run
    assert amendments.read(folder) == ()
    assert amendments.apply(made, (), folder) is made


def test_an_attempt_obeys_only_the_amendments_that_were_there(run: tuple[Path, Manifest]) -> None:
    folder, _ = run
    write(folder, FIRST, SECOND)
    assert amendments.read_first(folder, 1) == (FIRST,)
    assert amendments.read_first(folder, 0) == ()


def test_an_attempt_does_not_start_without_an_amendment_that_it_has_to_obey(
    run: tuple[Path, Manifest],
) -> None:
    folder, _ = run
    write(folder, FIRST)
    with pytest.raises(InputError, match="0002"):
        amendments.read_first(folder, 2, patience_s=0)


def test_no_amendment_replaces_another_one_and_none_is_half_written(
    run: tuple[Path, Manifest],
) -> None:
    folder, _ = run
    write(folder, FIRST)
    with pytest.raises(FileExistsError):
        write(folder, amendment(1, change("checkpoint_rows", 1)))
    assert amendments.read(folder) == (FIRST,)
    assert [path.name for path in (folder / amendments.FOLDER).iterdir()] == ["0001.json"]


@pytest.mark.parametrize(
    "place",
    ["run_id", "config_hash", "shards", "min_text_length", "nowhere", "cluster.nowhere.key",
     "shards.0", ""],
)  # fmt: skip
def test_an_amendment_that_somebody_wrote_by_hand_changes_nothing_else(
    run: tuple[Path, Manifest], place: str
) -> None:
    folder, _ = run
    write(folder, amendment(1, change(place, 1)))
    assert str(amendments.path_of(folder, 1)) in problem(folder)


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("", "0001.json is damaged"),
        ('{"format": 2, "version": "9.1", "more": 1}', "version 9.1"),
        ('{"format": 1}', "changes: is missing"),
        (json.dumps({**SECOND.to_json(), "extra": 1}), "extra: unknown key"),
    ],
)
def test_what_cannot_be_read_is_named(run: tuple[Path, Manifest], written: str, named: str) -> None:
    folder, _ = run
    write(folder, FIRST)
    amendments.path_of(folder, 1).write_text(written)
    assert named in problem(folder)


def test_a_missing_amendment_is_named(run: tuple[Path, Manifest]) -> None:
    folder, _ = run
    write(folder, FIRST, SECOND)
    amendments.path_of(folder, 1).unlink()
    assert str(amendments.path_of(folder, 1)) in problem(folder)


@pytest.mark.parametrize("known", range(5, 8))
def test_an_order_that_an_earlier_version_pickled_is_read(known: int) -> None:
    """It lacks the fields that came later."""
    order: Any = run_builders.order(Path("/run"))
    values = [getattr(order, field.name) for field in fields(order)][:known]
    again = WorkOrder.__new__(WorkOrder)
    again.__setstate__(values)
    assert again == order
    assert pickle.loads(pickle.dumps(order)) == order
