"""Posts are drawn for people, and what they code becomes labels of a name of their own."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from pipeline.backlog import own_files
from pipeline.backlog.file_formats import FileFormat
from pipeline.backlog.recognize_file import recognize_file
from pipeline.run_files import sample_file
from tests.hpc.cli_bench import Bench
from tests.hpc.database.held_database import held
from tests.pipeline import run_builders
from tests.pipeline.run_builders import SourcePost

CHOICES = "valence_label:positive|neutral|negative"
LABELS = f"{CHOICES},sure:number:0:1"
Row = dict[str, str]


def backlog() -> list[SourcePost]:
    """Ninety posts: some texts several times, one too short, and some that spreadsheets spoil."""
    posts = run_builders.posts(90)
    odd = {3: "=1+1 for you", 4: "0123456789", 5: 'a "quoted"; text,\nwith a line', 6: "hm"}
    uris = {7: "1795938205938205938", 8: "=8+8"}
    texts = {**dict.fromkeys(range(10, 15), "good morning"), 20: "I hate it", 21: "I hate it"}
    return [
        post._replace(text=(odd | texts).get(number, post.text), uri=uris.get(number, post.uri))
        for number, post in enumerate(posts)
    ]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A folder with the labels of a run. Each test draws samples and imports names of its own."""
    made = Bench(tmp_path_factory.mktemp("coding"))
    made.backlog(backlog())
    made.config(name="valence", classifier={"type": "valence"})
    assert made.submit().returncode == 0
    yield made


def draw(bench: Bench, sample: str, *arguments: object, n: int = 20) -> dict[str, Any]:
    """Draw a sample of this name into `<sample>.csv`."""
    return bench.document(
        "sample", "valence", "--n", n, "--out", f"{sample}.csv", "--sample-name", sample, *arguments
    )


def code(
    bench: Bench, file: str, target: str, value: Callable[[int, Row], Mapping[str, str]]
) -> Path:
    """Fill in a coding file, row by row, and save it under another name."""
    with (bench.folder / file).open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    path = bench.folder / target
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows({**row, **value(number, row)} for number, row in enumerate(rows))
    return path


def labels(bench: Bench, name: str, columns: str) -> list[tuple[Any, ...]]:
    return bench.query(f"SELECT uri, {columns} FROM labels_{name} ORDER BY uri")


def rows_of(bench: Bench, sample: str) -> list[dict[str, Any]]:
    path = sample_file.path_of(bench.folder / "runs", sample)
    return sample_file.read(path).rows.to_pylist()


def test_a_sample_says_how_likely_each_text_was_drawn_and_hides_the_model(bench: Bench) -> None:
    document = draw(bench, "strata", "--stratify", "valence_label", "--labels", LABELS)
    assert document["population"] == 84  # of 90 posts, one has no label, and five repeat a text
    assert document["population_posts"] == 89
    path = sample_file.path_of(bench.folder / "runs", "strata")
    assert sample_file.read_description(path).population_posts == 89
    assert document["not_in_population"] == 1
    sizes = {each["stratum"]: (each["size"], each["population"]) for each in document["strata"]}
    assert sum(size for size, _ in sizes.values()) == 20
    rows = rows_of(bench, "strata")
    assert Counter(row["stratum"] for row in rows) == {s: size for s, (size, _) in sizes.items()}
    for row in rows:
        size, population = sizes[row["stratum"]]
        assert row["inclusion_probability"] == size / population
    with (bench.folder / "strata.csv").open(encoding="utf-8-sig", newline="") as stream:
        coding = list(csv.DictReader(stream))
    assert set(coding[0]) == {"uri", "text", "valence_label", "sure"}
    assert {row["uri"] for row in coding} == {row["uri"] for row in rows}
    assert {row["valence_label"] + row["sure"] for row in coding} == {""}
    assert len({row["text"] for row in coding}) == 20
    order = [row["uri"] for row in coding]
    assert order != sorted(order)


def test_the_same_command_again_changes_nothing_and_another_one_overwrites_nothing(
    bench: Bench,
) -> None:
    first = draw(bench, "again")
    before = {path: path.read_bytes() for path in map(Path, first["files"])}
    assert draw(bench, "again") == first
    for path in (Path(first["sample_file"]), *before):  # as if the first command had been killed
        path.unlink()
    assert draw(bench, "again") == first
    assert {path: path.read_bytes() for path in before} == before
    code(bench, "again.csv", "again.csv", lambda *_: {"valence_label": "neutral"})
    coded = (bench.folder / "again.csv").read_bytes()
    assert coded not in before.values()
    for other in (["--seed", 1, "--out", "other.csv"], []):
        words = ["--n", 20, "--sample-name", "again", *other]
        done = bench.hpc("sample", "valence", "--out", "again.csv", *words)
        assert done.returncode == 2
    assert (bench.folder / "again.csv").read_bytes() == coded
    assert not (bench.folder / "other.csv").exists()


def test_codings_are_labels_that_gather_rebuild_and_audit_know(bench: Bench) -> None:
    draw(bench, "whole", "--labels", LABELS)
    path = code(
        bench,
        "whole.csv",
        "whole-coded.csv",
        lambda number, _: {"valence_label": "NEUTRAL", "sure": "0,5"} if number < 15 else {},
    )
    document = bench.document(
        "gold", path, "--as", "gold_whole", "--coder", "an\x1b[31mna", "--sample", "whole"
    )
    assert (document["coded"], document["uncoded"]) == (15, {"not_coded": 5})
    assert (document["sample"], document["coders"]) == ("whole", ["anna"])
    columns = "was_successfully_labeled, reason, valence_label, sure, model"
    rows = labels(bench, "gold_whole", columns)
    assert Counter(row[1:] for row in rows) == {
        (True, None, "neutral", 0.5, "human: anna"): 15,
        (False, "not_coded", None, None, "human: anna"): 5,
    }
    assert bench.query("SELECT sample FROM runs WHERE name = 'gold_whole'") == [("whole",)]
    assert bench.query("SELECT count(*) FROM samples WHERE sample = 'whole'") == [(20,)]
    assert bench.query("SELECT name FROM watermarks") == [("valence",)]
    assert bench.document("status", document["run_dir"])["state"] == "complete"
    assert bench.hpc("gather", "--rebuild", document["run_dir"]).returncode == 0
    assert labels(bench, "gold_whole", columns) == rows
    audit = bench.document("audit", "--config", bench.path, "--set", "name=gold_whole", code=3)
    assert (audit["places"]["labelled"], audit["places"]["unlabelable"]) == (15, 5)
    assert audit["duplicates"] == audit["differing"] == 0


@pytest.mark.parametrize(
    ("sample", "asked", "maps", "command"),
    [
        ("one_pair", "mood:text", {"valence_label=mood"}, "--map valence_label=mood"),
        ("same_name", "valence_label:text,mood:text", set(), "--gold gold_same_name"),
        ("two_pairs", "mood:text,bad:bool", {"valence_label=mood", "compound=bad"}, "--map a=b"),
    ],
    ids=["one_pair", "same_name", "two_pairs"],
)
def test_the_next_command_pairs_columns_of_other_names(
    bench: Bench, sample: str, asked: str, maps: set[str], command: str
) -> None:
    draw(bench, sample, "--labels", asked)
    values = {"valence_label": "neutral", "mood": "neutral", "bad": "true"}
    path = code(bench, f"{sample}.csv", f"{sample}-coded.csv",
                lambda _, row: {name: values[name] for name in values if name in row})  # fmt: skip
    words = ("gold", path, "--as", f"gold_{sample}", "--coder", "anna", "--sample", sample)
    assert {*bench.document(*words)["maps"]} == maps
    lines = bench.hpc(*words).stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("next: ")]
    assert line.endswith(command)
    if "a=b" not in line:
        assert bench.hpc(*line.split()[2:], "--resamples", 5).returncode == 0


def test_every_wrong_row_is_named_at_once_and_nothing_is_imported(bench: Bench) -> None:
    draw(bench, "wrong", "--labels", LABELS)
    wrong = {2: {"sure": "1,5"}, 3: {"uri": "at://nowhere"}, 4: {"text": "another"}}
    seen: list[Row] = []

    def say(number: int, row: Row) -> Mapping[str, str]:
        seen.append(row)
        twice = {"uri": seen[0]["uri"], "text": seen[0]["text"]} if number == 19 else {}
        return {"valence_label": "meh" if number == 1 else "neutral", **wrong.get(number, twice)}

    path = code(bench, "wrong.csv", "w.csv", say)
    before = bench.listing()
    done = bench.hpc("gold", path, "--as", "gold_wrong", "--sample", "wrong")
    assert done.returncode == 2
    named = [line.partition(": ")[0].strip() for line in done.stderr.splitlines()[1:]]
    assert named == [f"{path}, row {row}" for row in (3, 4, 5, 6, 21)]
    assert bench.listing() == before


def test_the_same_codings_add_nothing_and_corrected_ones_replace_them_knowingly(
    bench: Bench,
) -> None:
    draw(bench, "redo", "--labels", CHOICES)
    first = code(bench, "redo.csv", "r1.csv", lambda *_: {"valence_label": "neutral"})
    second = code(bench, "redo.csv", "r2.csv", lambda *_: {"valence_label": "positive"})
    words = ["--as", "gold_redo", "--coder", "anna", "--sample", "redo"]
    one = bench.document("gold", first, *words)
    again = bench.document("gold", first, *words)
    assert (again["run_id"], again["is_new"]) == (one["run_id"], False)
    assert bench.hpc("gold", second, *words).returncode == 2
    replaced = bench.document("gold", second, *words, "--supersede")
    assert replaced["is_new"]
    columns = "valence_label, run_id"
    rows = labels(bench, "gold_redo", columns)
    assert {row[1:] for row in rows} == {("positive", replaced["run_id"])}
    old = bench.query("SELECT valence_label, run_id FROM superseded_gold_redo")
    assert set(old) == {("neutral", one["run_id"])}
    assert bench.hpc("gather", "--rebuild", replaced["run_dir"]).returncode == 0
    assert labels(bench, "gold_redo", columns) == rows
    kept = {path.read_bytes() for path in bench.folder.glob("runs/*gold_redo*/codings/*")}
    assert kept == {first.read_bytes(), second.read_bytes()}
    draw(bench, "redo2", "--seed", 5, "--labels", CHOICES)
    other = code(bench, "redo2.csv", "r3.csv", lambda *_: {"valence_label": "positive"})
    for name in ("gold_redo", "valence", "Gold", "1st"):
        done = bench.hpc("gold", other, "--as", name, "--sample", "redo2", "--supersede")
        assert done.returncode == 2


def disagreeing(bench: Bench, sample: str) -> list[Path]:
    """Two coders of 20 posts, 10 of them by both, who differ about the first three by uri."""
    draw(bench, sample, "--labels", LABELS, "--coders", "anna,ben", "--overlap", 10)
    files = [f"{sample}-{coder}.csv" for coder in ("anna", "ben")]
    seen: list[set[str]] = []
    for file in files:
        with (bench.folder / file).open(encoding="utf-8-sig", newline="") as stream:
            seen.append({row["uri"] for row in csv.DictReader(stream)})
    assert [len(each) for each in seen] == [15, 15]
    differ = sorted(seen[0] & seen[1])[:3]

    def say(word: str, sure: str) -> Callable[[int, Row], Mapping[str, str]]:
        return lambda _, row: (
            {"valence_label": word, "sure": sure}
            if row["uri"] in differ
            else {"valence_label": "neutral", "sure": ""}
        )

    said = {"anna": say("positive", "1"), "ben": say("negative", "0")}
    return [
        code(bench, file, f"coded-{file}", each)
        for file, each in zip(files, said.values(), strict=True)
    ]


def test_coders_who_disagree_are_never_resolved_silently(bench: Bench) -> None:
    files = disagreeing(bench, "two")
    sample = ["--sample", "two"]
    assert bench.hpc("gold", *files, "--as", "gold_two", *sample).returncode == 2
    names = {"majority": "gold_majority", "first": "gold_first", "decided.csv": "gold_decided"}
    decided = bench.folder / "decided.csv"
    documents = {}
    for rule, name in names.items():
        if rule == "decided.csv":
            uris = [each["uri"] for each in documents["first"]["disagreements"]]
            lines = ["uri,valence_label,sure", f"{uris[0]},negative,0.2"]
            decided.write_text("\n".join(lines))
        documents[rule] = bench.document("gold", *files, "--as", name, "--resolve", rule, *sample)
    agreement = {each["label"]: each for each in documents["first"]["agreement"]}
    label = agreement["valence_label"]
    assert (label["units"], label["identical"], label["level"]) == (10, 7, "nominal")
    assert 0 < label["alpha"] < 1
    assert (agreement["sure"]["units"], agreement["sure"]["level"]) == (3, "interval")
    differ = sorted({each["uri"] for each in documents["first"]["disagreements"]})
    assert len(differ) == 3
    results = {
        rule: {
            (label, sure)
            for uri, label, sure in labels(bench, name, "valence_label, sure")
            if uri in differ
        }
        for rule, name in names.items()
    }
    assert results["majority"] == {(None, 0.5)}
    assert results["first"] == {("positive", 1.0)}
    assert results["decided.csv"] == {("negative", 0.2), (None, None)}
    assert documents["majority"]["undecided"] == 3
    assert documents["decided.csv"]["uncoded"] == {"coders_disagree": 2}


def test_codings_wait_for_a_database_that_is_open_elsewhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(bench, "held", "--labels", CHOICES)
    path = code(bench, "held.csv", "h.csv", lambda *_: {"valence_label": "neutral"})
    monkeypatch.setattr("hpc.reconcile.gathering.gather.WAIT_S", 0.1)
    with held(bench.folder / "labels.duckdb"):
        document = bench.document("gold", path, "--as", "gold_held", "--sample", "held", code=1)
    assert not document["gathered"]
    assert bench.hpc("gather", document["run_dir"]).returncode == 0
    assert len(labels(bench, "gold_held", "valence_label")) == 20


def test_no_task_gives_the_labels_of_people_again(bench: Bench) -> None:
    draw(bench, "lost", "--labels", CHOICES)
    path = code(bench, "lost.csv", "l.csv", lambda *_: {"valence_label": "neutral"})
    document = bench.document("gold", path, "--as", "gold_lost", "--sample", "lost")
    output = Path(document["run_dir"]) / "outputs" / "00000.parquet"
    table = pq.read_table(output)
    output.unlink()
    assert bench.hpc("supervise", document["run_dir"]).returncode == 1
    assert not output.exists()
    assert table.num_rows == 20
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as database:
        assert database.execute("SELECT count(*) FROM labels_gold_lost").fetchall() == [(20,)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--n", 85],
        ["--n", 2, "--stratify", "valence_label"],
        ["--stratify", "compund:3"],
        ["--stratify", "valence_label:3"],
        ["--stratify", "compound:0"],
        ["--n", 2, "--stratify", "compound"],
        ["--labels", "x:y"],
        ["--coders", 0],
        ["--coders", "a,A"],
        ["--coders", "a/b,c"],
        ["--overlap", 3],
        ["--coders", 2, "--overlap", 21],
        ["--coders", 3, "--overlap", 19],
        ["--out", "x.txt"],
        ["--out", "nowhere/x.csv"],
        ["--sample-name", "../x"],
    ],
)
def test_an_impossible_sample_is_rejected_before_anything_is_written(
    bench: Bench, arguments: Sequence[object]
) -> None:
    before = bench.listing()
    words = ["--n", 20, "--out", "impossible.csv", *arguments]
    done = bench.hpc("sample", "valence", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert bench.listing() == before


def test_a_sample_that_is_not_named_is_found_if_only_one_has_the_posts(bench: Bench) -> None:
    draw(bench, "only", "--seed", 123, "--labels", CHOICES)
    path = code(bench, "only.csv", "only-coded.csv", lambda *_: {"valence_label": "neutral"})
    words = ["--as", "gold_only", "--coder", "anna"]
    assert bench.document("gold", path, *words)["sample"] == "only"
    draw(bench, "only2", "--seed", 123, "--labels", CHOICES)
    assert bench.hpc("gold", path, *words).returncode == 2
    path.write_text("uri,valence_label\nat://nowhere,neutral\n")
    assert bench.hpc("gold", path, *words).returncode == 2


def test_a_sample_without_a_record_says_what_draws_posts_for_coders(bench: Bench) -> None:
    draw(bench, "asked", "--seed", 5, "--labels", CHOICES)
    path = code(bench, "asked.csv", "asked-coded.csv", lambda *_: {"valence_label": "neutral"})
    root = bench.folder / "runs"
    drawn = sample_file.read(sample_file.path_of(root, "asked"))
    submitted = replace(drawn.sample, sample="submitted", kind=sample_file.SUBMIT)
    coding = replace(drawn.sample, sample="without-record")
    for sample, hint in ((submitted, "type: hpc sample NAME"), (coding, "hpc sample command")):
        made = sample_file.write(root, sample, drawn.rows)
        done = bench.hpc("gold", path, "--as", "gold_asked", "--sample", sample.sample)
        made.unlink()
        assert (done.returncode, hint in done.stderr) == (2, True), done


def test_tasks_for_label_studio_come_back_as_labels(bench: Bench) -> None:
    words = ["--n", 6, "--out", "tasks.json", "--labels", CHOICES, "--sample-name", "studio"]
    assert bench.document("sample", "valence", *words)["files"] == [
        str(bench.folder / "tasks.json"),
        str(bench.folder / "tasks.xml"),
    ]
    tasks = json.loads((bench.folder / "tasks.json").read_text())
    value = {"choices": ["neutral"]}
    result = [{"from_name": "valence_label", "type": "choices", "value": value}]
    for task in tasks[:4]:
        task["annotations"] = [{"completed_by": 1, "result": result}]
    export = bench.folder / "export.json"
    export.write_text(json.dumps(tasks))
    document = bench.document("gold", export, "--as", "gold_studio", "--sample", "studio")
    assert (document["coded"], document["uncoded"]) == (4, {"not_coded": 2})


def test_all_texts_together_stand_for_all_posts(bench: Bench) -> None:
    draw(bench, "census", n=84)
    rows = rows_of(bench, "census")
    assert sum(row["posts"] for row in rows) == 89
    assert sorted(row["posts"] for row in rows)[-2:] == [2, 5]
    assert {row["inclusion_probability"] for row in rows} == {1.0}
    path = code(bench, "census.csv", "c.csv", lambda *_: {"valence_label": "neutral"})
    assert {"'1795938205938205938", "'=8+8"} <= set(path.read_text().replace(";", "\n").split())
    document = bench.document("gold", path, "--as", "gold_census", "--sample", "census")
    assert document["coded"] == 84
    copies = "SELECT count(*) FROM labels_valence WHERE copied_from IS NOT NULL"
    assert bench.query(copies) == [(5,)]
    assert bench.query(f"{copies} AND uri IN (SELECT uri FROM labels_gold_census)") == [(0,)]
    assert bench.hpc("compare", "valence", "--gold", "gold_census").returncode == 0
    record, head = recognize_file(bench.folder / "runs" / "codings" / "census.parquet", ())
    assert isinstance(record, FileFormat), head
    assert own_files.is_sample(bench.folder / "runs" / "codings" / "census.parquet", record)
    assert {row["uri"] for row in rows} > {row["uri"] for row in rows_of_smaller(bench)}


def rows_of_smaller(bench: Bench) -> list[dict[str, Any]]:
    draw(bench, "smaller", n=10)
    return rows_of(bench, "smaller")


def test_flags_are_shown_as_coders_type_them_and_a_page_says_why_they_are_not_compared(
    bench: Bench,
) -> None:
    """The terminal says what to type. The page, which is for an appendix, does not."""
    draw(bench, "flag", "--labels", "toxic:bool")
    path = code(
        bench, "flag.csv", "flag-coded.csv",
        lambda number, _: {"toxic": "yes" if number < 15 else "no"},
    )  # fmt: skip
    imported = bench.hpc("gold", path, "--as", "gold_flag", "--coder", "anna", "--sample", "flag")
    assert "toxic: 20 coded (true 15, false 5)" in imported.stdout + imported.stderr
    made = bench.hpc("report", "valence", "--json")
    (subject,) = json.loads(made.stdout)["subjects"]
    (note,) = (note for note in subject["gold_not_compared"] if "gold_flag" in note)
    assert ("--" in note, "--map a=b" in made.stderr) == (False, True)
