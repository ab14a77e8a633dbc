"""`hpc.compare` on a database that runs have filled: two names, the posts that both labeled."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hpc.command_line.cli import VERBS
from pipeline.model import Answer
from tests.hpc.cli_bench import Bench, outcome
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.hpc.in_process import Done, call_verb
from tests.pipeline import run_builders

Compare = Callable[..., Done]
OF_A = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.9, 5: 0.8, 6: 0.7, 7: 0.6, 8: None}
OF_B = {2: 0.2, 3: 0.6, 4: 0.9, 5: 0.7, 6: 0.7, 7: 0.1, 8: 0.4, 9: 0.3}


def label(growing: GrowingBacklog, name: str, scores: dict[int, float | None]) -> None:
    """A run of these posts under a name; one without a score could not be labeled."""
    folder = growing.bench.folder
    growing.bench.config(
        name=name,
        classifier={"type": "valence"},
        storage={"run_root": str(folder / "runs"), "database": str(folder / "labels.duckdb")},
    )
    growing.bench.backlog([post(number, number) for number in scores])
    run, _ = growing.submit()
    assert run
    by_uri = {run_builders.uri(number): score for number, score in scores.items()}

    def answer(uri: str) -> Answer:
        score = by_uri[uri]
        if score is None:
            return Answer(uri, reason="refused: it would not")
        label = "positive" if score >= 0.5 else "negative"
        return Answer(uri, {"compound": score, "valence_label": label})

    for shard in run.manifest.shards:
        run_builders.publish_shard(run.folder, run.manifest, shard.index, answer=answer)
    growing.gather(run)


@pytest.fixture(scope="module")
def labeled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder; nothing here changes it."""
    growing = GrowingBacklog(tmp_path_factory.mktemp("bench"))
    label(growing, "perspective", OF_A)
    label(growing, "llm", OF_B)
    label(growing, "elsewhere", {20: 0.5})
    return growing.bench.folder


@pytest.fixture
def compare(labeled_folder: Path, bench: Bench) -> Compare:
    """The verb, in this process, with few resamples."""

    def run(*arguments: object) -> Done:
        database = (
            () if "--database" in arguments else ("--database", labeled_folder / "labels.duckdb")
        )
        return bench.hpc("compare", *arguments, *database, "--resamples", 50)

    return run


def document(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


@pytest.fixture
def copy(labeled_folder: Path, tmp_path: Path) -> Path:
    """A database of that content, to be changed."""
    return Path(shutil.copy(labeled_folder / "labels.duckdb", tmp_path / "copy.duckdb"))


def change(path: Path, sql: str) -> None:
    with duckdb.connect(str(path)) as database:
        database.execute(sql)


def test_figures_end_at_the_newest_run(compare: Compare, copy: Path, tmp_path: Path) -> None:
    def months(folder: str) -> list[str]:
        done = compare("perspective", "llm", "--database", copy, "--figures", tmp_path / folder)
        assert done.returncode == 0
        return [each.name for each in (tmp_path / folder).glob("*-months.svg")]

    change(copy, "UPDATE runs SET created_at = TIMESTAMP '2024-04-30' WHERE name = 'perspective'")
    assert len(months("later")) == 2
    change(copy, "UPDATE runs SET created_at = TIMESTAMP '2024-04-30' WHERE name = 'llm'")
    assert months("earlier") == [], "a run of another name does not count"


def test_columns_of_the_same_name_are_compared_on_the_posts_that_both_labeled(
    labeled_folder: Path, compare: Compare
) -> None:
    comparison_of_names = document(compare("perspective", "llm", "--json"))
    comparisons = comparison_of_names.pop("comparisons")
    model = "vaderSentiment 3.3.2"
    nothing_open = {"posts_not_gathered": 0, "posts_missing": 0}
    assert comparison_of_names == {
        "database": str(labeled_folder / "labels.duckdb"),
        "a": {"name": "perspective", "posts": 7, "models": {model: 6}, **nothing_open},
        "b": {"name": "llm", "posts": 8, "models": {model: 6}, **nothing_open},
        "posts": 6,
        "sample": None,
        "map": None,
        "figures": [],
        "confidence": 0.95,
        "resamples": 50,
        "seed": 0,
        "bins": "uniform",
        "not_compared": [],
        "unusable_runs": [],
    }
    assert [(pair["a"], pair["b"], pair["kinds"], pair["posts"]) for pair in comparisons] == [
        ("compound", "compound", ["number", "number"], 6),
        ("valence_label", "valence_label", ["text", "text"], 6),
    ]
    score, category = comparisons
    assert score["measures"]["mean_difference"]["value"] == pytest.approx(0.3 / 6)
    assert score["threshold"] == 0.5
    # Post 3 is positive for B only, post 7 for A only.
    assert category["confusion"] == {
        "a": ["negative", "positive"],
        "b": ["negative", "positive"],
        "counts": [[1, 1], [1, 3]],
    }
    assert category["measures"]["agreement"]["value"] == pytest.approx(4 / 6)
    assert category["measures"]["kappa"]["value"] == pytest.approx(0.25)
    assert score["measures"]["kappa"] == category["measures"]["kappa"]


def test_the_report_is_readable(labeled_folder: Path, compare: Compare) -> None:
    done = compare("perspective", "llm")
    assert outcome(done) == (0, "")
    head, _, rest = re.sub(r"\[[-0-9., ]+\]", "[..]", done.stdout).partition(
        "\n\n  share of posts with A"
    )
    assert head == TABLE.format(database=labeled_folder / "labels.duckdb").rstrip("\n")
    assert "\n\nA valence_label (text), B valence_label (text): 6 posts\n  agreement " in rest


def test_posts_that_are_not_in_the_database_are_counted(tmp_path: Path) -> None:
    growing = GrowingBacklog(tmp_path)
    label(growing, "people", dict.fromkeys(range(4), 0.1))
    label(growing, "llm", dict.fromkeys(range(4), 0.1))
    growing.arrive(*(post(number, number) for number in range(6)))
    published, _ = growing.submit()
    assert published
    growing.publish(published)
    growing.arrive(*(post(number, number) for number in range(6, 9)))
    assert growing.submit()[0]
    words = ("people", "llm", "--database", tmp_path / "labels.duckdb", "--resamples", 5)
    found = document(growing.bench.hpc("compare", *words, "--json"))
    keys = ("posts", "posts_not_gathered", "posts_missing")
    assert [[found[side][key] for key in keys] for side in "ab"] == [[4, 0, 0], [4, 2, 3]]
    judged = growing.bench.document("compare", "llm", "--gold", "people", *words[2:])
    (model,) = judged["models"]
    assert [model[key] for key in keys] == [4, 2, 3]
    assert [each["kind"] for each in model["warnings"]] == ["posts_left_out"] * 2


TABLE = """\
{database}: 6 posts labeled by both names
  A perspective: 7 posts labeled; models of the shared posts: vaderSentiment 3.3.2 6
  B llm: 8 posts labeled; models of the shared posts: vaderSentiment 3.3.2 6
  in brackets: 95% percentile intervals of 50 bootstrap resamples of the posts,
    seed 0

A compound (number), B compound (number): 6 posts
  Pearson's r                                            0.624  [..]
  Spearman's rho                                         0.812  [..]
  mean of A - B                                          0.050  [..]
  Krippendorff's alpha, interval                         0.639  [..]
  agreement (positive: 0.5 or more)                      0.667  [..]
  Cohen's kappa (positive: 0.5 or more)                  0.250  [..]
  Krippendorff's alpha, nominal (positive: 0.5 or more)  0.312  [..]
  AUC of A's score for B's label                         0.875  not defined in 4 of 50 resamples
  AUC of B's score for A's label                         0.750  not defined in 5 of 50 resamples

    posts     B < 0.5  B >= 0.5
    A < 0.5         1         1
    A >= 0.5        1         3

  at the threshold 0.6, B calls 0.667 of the posts positive; A calls 0.667 positive

  share of posts with B >= 0.5, by A's score:
    score          posts   mean  share  95% interval
    0.100 - 0.200      1  0.200  0.000  -
    0.200 - 0.300      1  0.300  1.000  -
    0.500 - 0.600      1  0.600  0.000  -
    0.600 - 0.700      1  0.700  1.000  -
    0.700 - 0.800      1  0.800  1.000  -
    0.800 - 0.900      1  0.900  1.000  -
"""


def test_other_columns_are_mapped_beside_those_of_the_same_name(compare: Compare) -> None:
    maps = ("compound=valence_label", "valence_label=compound", "compound=compound")
    options = [word for mapping in maps for word in ("--map", mapping)]
    report = document(compare("perspective", "llm", *options, "--json"))
    assert [(pair["a"], pair["b"]) for pair in report["comparisons"]] == [
        ("compound", "compound"),
        ("valence_label", "valence_label"),
        ("compound", "valence_label"),
        ("valence_label", "compound"),
    ]
    assert list(report["comparisons"][2]["measures"]) == [
        "auc_a_for_b: negative",
        "auc_a_for_b: positive",
    ]


def test_options_take_effect_and_the_same_seed_gives_the_same_document(
    labeled_folder: Path, bench: Bench
) -> None:
    def document_with(*more: object) -> Any:
        arguments = ("perspective", "llm", "--resamples", 50, "--json", *more)
        return document(
            call_verb(
                "compare", arguments, folder=labeled_folder, env=bench.env, modules=bench.site
            )
        )

    plain = document_with()
    assert document_with("--database", "labels.duckdb") == plain
    assert document_with("--config", "run.yaml") == plain
    assert document_with("--seed", 1)["comparisons"] != plain["comparisons"]
    assert document_with("--threshold", "0.25")["comparisons"][0]["threshold"] == 0.25
    quantile = document_with("--bins", "quantile")["comparisons"][0]["calibration"][0]["bins"]
    assert quantile != plain["comparisons"][0]["calibration"][0]["bins"]


def test_free_text_is_named_and_left_out(copy: Path, compare: Compare) -> None:
    for name in ("perspective", "llm"):
        change(
            copy,
            f"INSERT INTO labels_{name} SELECT labels.* REPLACE (uri || n AS uri, "
            f"'because of ' || n AS valence_label) FROM labels_{name} AS labels, "
            "range(60) AS many(n) WHERE compound = 0.2",
        )
    done = compare("perspective", "llm", "--database", copy)
    assert outcome(done) == (0, "")
    assert done.stdout.endswith(
        "\nA valence_label, B valence_label: not compared, because A has 62 different values, so "
        "it is free text\n"
    )


def test_without_common_posts_it_says_how_to_label_some(compare: Compare) -> None:
    done = compare("perspective", "elsewhere", "--json")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "\nno post has a label of both names. To label the same posts under elsewhere: hpc submit "
        "--config FILE --only-labeled-by perspective\n"
    )
    report = json.loads(done.stdout)
    assert (report["posts"], [pair["posts"] for pair in report["comparisons"]]) == (0, [0, 0])
    measures = report["comparisons"][0]["measures"]
    assert [measure["value"] for measure in measures.values()] == [None] * len(measures)


@pytest.mark.parametrize("value", ["NULL", "uri"])
def test_without_comparable_columns_the_shared_posts_are_still_counted(
    copy: Path, compare: Compare, value: str
) -> None:
    """Labeling more of them would not help."""
    for name in ("perspective", "llm"):
        change(copy, f"ALTER TABLE labels_{name} DROP COLUMN compound")
        change(copy, f"UPDATE labels_{name} SET valence_label = {value}")
        if value == "uri":
            change(
                copy,
                f"INSERT INTO labels_{name} SELECT labels.* REPLACE (n AS uri, n AS valence_label) "
                f"FROM labels_{name} AS labels, range(60) AS many(n) WHERE uri = "
                f"(SELECT min(uri) FROM labels_{name})",
            )
    done = compare("perspective", "llm", "--database", copy, "--json")
    code, error = outcome(done)
    assert (code, json.loads(done.stdout)["posts"] >= 6) == (1, True)
    assert error.endswith(
        "\nnone of these columns can be compared; pair other columns with --map a=b\n"
    )


HAS = "it has: elsewhere, llm, perspective"
COLUMNS = "it has: compound, valence_label"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["perspective", "gpt"], f"labels.duckdb has no labels of the name gpt; {HAS}"),
        (["perspective", "llm", "--map", "toxic=compound"],
         f"--map toxic=compound: perspective has no column 'toxic'; {COLUMNS}"),
        (["perspective", "llm", "--map", "compound=toxic"],
         f"--map compound=toxic: llm has no column 'toxic'; {COLUMNS}"),
        (["perspective", "llm", "--map", "compound"],
         "--map compound: should be a=b, a column of A and a column of B"),
        (["perspective", "llm", "--database", "no.duckdb"],
         "no.duckdb; name one with --config or --database"),
        (["perspective", "llm", "--threshold", "nan"], "should be a number, not 'nan'"),
        (["perspective", "llm", "--seed", "-1"], "should be a whole number, 0 or more, not '-1'"),
        (["perspective"], "hpc compare perspective NAME_B, or hpc compare perspective --gold NAME"),
        (["perspective", "llm", "--gold", "llm"],
         "--gold llm: compare other names with it, not itself"),
        (["perspective", "llm", "--sample", "s"],
         "--sample s: no run of llm has this sample; it has: none"),
    ],
)  # fmt: skip
def test_wrong_usage_is_rejected_with_a_reason(
    compare: Compare, arguments: list[str], problem: str
) -> None:
    code, error = outcome(compare(*arguments))
    assert (code, error.endswith(problem + "\n")) == (2, True), error


def test_names_without_a_common_column_have_to_be_mapped(copy: Path, compare: Compare) -> None:
    change(copy, "ALTER TABLE labels_llm RENAME COLUMN compound TO toxicity")
    change(copy, "ALTER TABLE labels_llm DROP COLUMN valence_label")
    options = ("perspective", "llm", "--database", copy)
    assert outcome(compare(*options)) == (
        2,
        "error: perspective (compound, valence_label) and llm (toxicity) have no label column of "
        "the same name; pair their columns with --map a=b\n",
    )
    report = document(compare(*options, "--map", "compound=toxicity", "--json"))
    assert [pair["posts"] for pair in report["comparisons"]] == [6]


def test_columns_about_the_answer_are_not_compared_unless_they_are_mapped(
    copy: Path, compare: Compare
) -> None:
    """Two LLM setups may have only the column with the model's name in common."""
    for name, column in (("perspective", "toxic"), ("llm", "civic")):
        change(copy, f"ALTER TABLE labels_{name} RENAME compound TO {column}")
        change(copy, f"ALTER TABLE labels_{name} RENAME valence_label TO llm_model_name")
    alone = compare("perspective", "llm", "--database", copy)
    assert outcome(alone) == (
        2,
        "error: perspective (toxic) and llm (civic) have no label column of the same name; pair "
        "their columns with --map a=b\n",
    )
    both = ("--map", "toxic=civic", "--map", "llm_model_name=llm_model_name")
    report = document(compare("perspective", "llm", "--database", copy, *both, "--json"))
    assert [pair["a"] for pair in report["comparisons"]] == ["toxic", "llm_model_name"]


def test_a_file_that_is_not_a_database_is_rejected(compare: Compare, tmp_path: Path) -> None:
    (tmp_path / "labels.duckdb").write_text("not a database")
    code, error = outcome(compare("a", "b", "--database", tmp_path / "labels.duckdb"))
    assert (code, str(tmp_path / "labels.duckdb") in error) == (1, True)


@pytest.mark.parametrize("package", ["scipy", "sklearn"])
def test_without_scipy_or_scikit_learn_it_says_what_to_install(
    labeled_folder: Path, bench: Bench, package: str
) -> None:
    missing = f"raise ModuleNotFoundError(name={package!r})"
    (bench.site / f"{package}.py").write_text(missing)
    database = labeled_folder / "labels.duckdb"
    assert outcome(bench.hpc_process("compare", "perspective", "llm", "--database", database)) == (
        1,
        f"error: compare needs extra packages, and {package} is not installed. Install them with: "
        "python -m pip install scipy scikit-learn\n",
    )
    assert bench.hpc("compare", "--help").returncode == 0


def test_no_verb_imports_scipy_before_it_is_needed(bench: Bench) -> None:
    code = (
        "import importlib, sys\n"
        f"for verb in {list(VERBS)}: importlib.import_module('hpc.' + verb)\n"
        "print(sorted({'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    assert bench.python(code).stdout == "[]\n"
