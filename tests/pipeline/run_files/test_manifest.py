import json
from pathlib import Path

import pytest

from pipeline import __version__
from pipeline.errors import InputError
from pipeline.model import Receipt
from pipeline.run_files import manifest
from tests.pipeline.run_builders import RUN_ID, make_run, posts


def refusal(run_dir: Path) -> str:
    with pytest.raises(InputError) as refused:
        manifest.read(run_dir)
    return str(refused.value)


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    prompt = {"type": "llm", "prompt": 'é 😀\n"quoted"'}
    run_dir, run = make_run(tmp_path, posts(5), shards=3, classifier=prompt, cluster={"cpus": 2})
    assert manifest.read(run_dir) == run


def test_a_folder_without_a_manifest_is_no_run(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"{tmp_path} is not a run: manifest.json: No such file or directory"
    )


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"format"', b"\xff\xfe", b'{"run_id": "x"}'])
def test_a_file_that_is_no_manifest_is_called_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    assert refusal(tmp_path) == f"{path} is damaged: it is not a manifest of this program"


def test_a_run_of_another_version_is_refused_with_the_version_to_use(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 9, "version": "9.1"}))
    assert refusal(tmp_path) == (
        f"{tmp_path} was made by another version (run format 9, written by version 9.1; "
        "this is 2): use that version for it"
    )


def changed(run_dir: Path, **changes: object) -> Path:
    """Change keys of a run's manifest, as another version may have; `...` takes one out."""
    path = run_dir / "manifest.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: one for key, one in values.items() if one is not ...}))
    return path


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shards": None}, "shards: should be a list of mappings of keys, not None"),
        ({"shards": [{"index": 0}]}, "4 problems"),
        ({"colour": "red"}, "colour: unknown key (did you mean 'cluster'?)"),
        ({"cluter": {}}, "cluter: unknown key (did you mean 'cluster'?)"),
        ({"retry": ...}, "retry: is missing"),
        ({"run_id": "../../x"}, "run_id: should be the name of a folder, not '../../x'"),
        ({"name": "a\0b"}, r"name: should be the name of a folder, not 'a\x00b'"),
        ({"database": "a\0b"}, "database: holds a NUL character, which no path can hold"),
        ({"shards": []}, "shards: should be a list of 1 or more shards, not []"),
        ({"classifier": {}}, "classifier.type: should be text, not None"),
        ({"cluster": {"python": "\0"}}, "cluster.python: holds a NUL character"),
        (
            {"created_at": "yesterday"},
            "created_at: should be a time in UTC such as 2026-11-29T09:44:23, not 'yesterday'",
        ),
        (
            {"created_at": "2024-01-01T00:00:00+02:00"},
            "created_at: should be a time in UTC such as 2026-11-29T09:44:23, not "
            "'2024-01-01T00:00:00+02:00'",
        ),
        ({"array_size": "1"}, "array_size: should be a whole number, 1 or more, not '1'"),
    ],
)
def test_a_manifest_of_other_keys_is_reported_with_them(
    tmp_path: Path, changes: dict[str, object], problem: str
) -> None:
    run_dir, _ = make_run(tmp_path, posts(1))
    path = changed(run_dir, **changes)
    assert refusal(run_dir).splitlines()[0] == f"{path}: {problem}"


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("index", 7, "should be 1, not 7"),
        ("posts", -5, "should be a whole number, 0 or more, less than 2,147,483,648, not -5"),
        (
            "max_preprocessing_timestamp",
            "x",
            "should be a time in UTC such as 2026-11-29T09:44:23, not 'x'",
        ),
    ],
)
def test_a_shard_that_the_run_cannot_have_is_named(
    tmp_path: Path, key: str, value: object, problem: str
) -> None:
    run_dir, run = make_run(tmp_path, posts(2), shards=2)
    shards = [shard.to_json() for shard in run.shards]
    shards[1][key] = value
    path = changed(run_dir, shards=shards)
    assert refusal(run_dir) == (f"{path}: shards[1].{key}: {problem}")


def test_a_receipt_names_the_run_the_shard_and_its_input(tmp_path: Path) -> None:
    _, run = make_run(tmp_path, posts(4), shards=2)
    assert run.receipt(1) == Receipt(
        run_id=RUN_ID, shard_index=1, input_sha256=run.shards[1].sha256
    )


def test_the_configurations_hash_changes_with_what_decides_a_label_and_with_nothing_else() -> None:
    options = {"type": "llm", "prompt": "é", "model": "m"}
    usual = manifest.config_hash(options, 5)
    assert usual == manifest.config_hash(dict(reversed(options.items())), 5)
    assert len({usual, manifest.config_hash(options, 6)}) == 2
    assert len({usual, manifest.config_hash(options | {"prompt": "e"}, 5)}) == 2
    assert len(usual) == 16
    assert int(usual, 16) >= 0


def test_the_folders_files_are_named_by_shard_and_attempt() -> None:
    run = Path("/runs/x")
    assert manifest.shard_path(run, 7) == run / "shards/00007.parquet"
    assert manifest.output_path(run, 7) == run / "outputs/00007.parquet"
    assert manifest.work_path(run, 7) == run / "work/00007"
    assert manifest.log_path(run, 2) == run / "logs/0002"


def test_the_builders_runs_are_of_this_version(tmp_path: Path) -> None:
    run_dir, run = make_run(tmp_path, posts(1))
    assert (run.version, run_dir) == (__version__, tmp_path / "runs" / RUN_ID)
