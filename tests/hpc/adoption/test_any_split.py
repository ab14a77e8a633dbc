"""However an engine spreads its answers over files, the table is the one that tasks would make."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.adoption.adopt_run import AdoptRequest, adopt_run, preview_adoption
from hpc.locks.locked_run import hold_run
from hpc.run import run_folder
from pipeline.errors import InputError
from pipeline.run_files import output
from tests.hpc.adoption.engine import hand_over, write_lines, write_parquet
from tests.hpc.cli_bench import Bench
from tests.pipeline import run_builders

EXTERNAL = {
    "type": "external",
    "model": "vaderSentiment",
    "labels": [
        {"name": "compound", "type": "number", "minimum": -1, "maximum": 1},
        {"name": "valence_label", "type": "choice", "choices": ["positive", "neutral", "negative"]},
    ],
}
LABELED = ("uri", "text", "preprocessing_timestamp", "was_successfully_labeled", "reason",
           "compound", "valence_label")  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """The same posts: as tasks labeled them, and as a run that another engine is to label."""

    rows: dict[int, list[Row]]
    """By shard, in the order of its posts."""
    planned: Path


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labeled]:
    """Forty posts in three shards: some texts repeat, some are too short, one has emoji."""
    odd = {3: "hm", 4: "\u200b", 7: "so good 😊 מצוין", 20: "I hate it\nreally"}
    posts = [
        post._replace(text=odd.get(n, f"I love number {n % 9} of these"))
        for n, post in enumerate(run_builders.posts(40))
    ]
    bench = Bench(tmp_path_factory.mktemp("own"))
    bench.backlog(posts)
    bench.config(classifier={"type": "valence"}, sharding={"shards": 3})
    assert bench.submit().returncode == 0
    own = run_folder.load(bench.runs()[-1])
    rows = {shard.index: read_output(own.folder, shard.index) for shard in own.manifest.shards}
    bench.config(name="other", classifier=EXTERNAL, sharding={"shards": 3})
    yield Labeled(rows=rows, planned=hand_over(bench))


def read_output(run: Path, index: int) -> list[Row]:
    made = run_folder.load(run)
    check, table = output.read(run, made.manifest, index)
    assert check.verified and table is not None, check
    return table.select(LABELED).to_pylist()


@st.composite
def spread(draw: st.DrawFn, rows: list[Row]) -> list[list[list[Row]]]:
    """Draw in which adoption, file and order each row comes, some of them several times."""
    more = draw(st.lists(st.sampled_from(rows), max_size=8))
    mixed = draw(st.permutations([*rows, *more]))
    cuts = draw(st.lists(st.integers(0, len(mixed)), max_size=6))
    places = [0, *sorted(cuts), len(mixed)]
    files = [mixed[begin:end] for begin, end in pairwise(places)]
    adoptions: list[list[list[Row]]] = [[]]
    for file in files:
        if draw(st.booleans()):
            adoptions.append([])
        adoptions[-1].append(file)
    return [adoption for adoption in adoptions if adoption]


@given(data=st.data())
def test_any_split_gives_the_table_of_tasks(labeled: Labeled, data: st.DataObject) -> None:
    sent = [
        {name: row[name] for name in ("uri", "compound", "valence_label")}
        for rows in labeled.rows.values()
        for row in rows
        if row["was_successfully_labeled"]
    ]
    with TemporaryDirectory() as name:
        run = Path(name) / "runs" / labeled.planned.name
        shutil.copytree(labeled.planned, run)
        numbers = count()
        for files in data.draw(spread(sent)):
            folder = Path(name) / f"answers-{next(numbers)}"
            for rows in files:
                write(folder, next(numbers), rows, is_parquet=data.draw(st.booleans()))
            with hold_run(run_folder.load(run)) as locked:
                adopt_run(locked, AdoptRequest(folder=folder))
        assert {index: read_output(run, index) for index in labeled.rows} == labeled.rows


def write(folder: Path, number: int, rows: list[Row], *, is_parquet: bool) -> None:
    if is_parquet and rows:
        write_parquet(folder / f"{number}.parquet", rows)
    else:
        write_lines(folder / f"{number}.jsonl", list(rows))


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
                   st.lists(st.integers(), max_size=2))  # fmt: skip


@given(values=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6))
def test_a_value_is_taken_exactly_if_its_label_allows_it(
    labeled: Labeled, values: list[tuple[object, object]]
) -> None:
    """Python's own JSON writes NaN and Infinity, which are no JSON; they are rejected like 2."""
    uris = [row["uri"] for row in labeled.rows[1]]
    with TemporaryDirectory() as name:
        path = Path(name) / "a.jsonl"
        lines = [
            json.dumps({"uri": uri, "compound": compound, "valence_label": word})
            for uri, (compound, word) in zip(uris, values, strict=False)
        ]
        write_lines(path, lines)
        run = run_folder.load(labeled.planned)
        try:
            found = preview_adoption(run, AdoptRequest(folder=path)).matched
        except InputError:
            assert not all(map(is_allowed, values))
        else:
            assert all(map(is_allowed, values))
            assert found.empty == sum(value == (None, None) for value in values)


def is_allowed(answer: tuple[object, object]) -> bool:
    compound, word = answer
    if compound is None and word is None:
        return True
    is_number = isinstance(compound, int | float) and not isinstance(compound, bool)
    return is_number and -1 <= float(compound) <= 1 and word in ("positive", "neutral", "negative")  # type: ignore[arg-type]


def test_parquet_and_json_agree_on_the_same_rows(labeled: Labeled, tmp_path: Path) -> None:
    rows = [{name: row[name] for name in ("uri", "compound", "valence_label")}
            for row in labeled.rows[0] if row["was_successfully_labeled"]]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    write_lines(tmp_path / "b.jsonl.gz", list(rows))
    run = run_folder.load(labeled.planned)
    found = preview_adoption(run, AdoptRequest(folder=tmp_path)).matched
    assert (found.fresh, found.repeated) == (len(rows), len(rows))
