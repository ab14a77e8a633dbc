"""`hpc.compare --gold`: classifiers beside human labels of a sample."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.docs.pages import read
from tests.hpc.cli_bench import Bench, exit_code, outcome
from tests.hpc.in_process import Done
from tests.pipeline.analysis.gold.coded_posts import Drawn, create, label, stratified

Compare = Callable[..., Done]
POSTS = 2000


def fill(path: Path) -> None:
    """Labels of two models, and gold for a stratified sample of the posts."""
    generator = np.random.default_rng(3)
    truth = generator.random(POSTS) < 0.2
    score = np.clip(0.35 + 0.3 * truth + generator.normal(0, 0.15, POSTS), 0, 1)
    strata = ["high" if value > 0.5 else "low" for value in score]
    drawn = stratified(generator, strata, {"low": 60, "high": 60})
    gold = {post: bool(truth[post]) for post in drawn.posts}
    with duckdb.connect(str(path)) as database:
        create(database, score.tolist(), gold, drawn)
        guess = np.where(generator.random(POSTS) < 0.9, truth, ~truth)
        label(database, "guard", range(POSTS), {"unsafe": guess.tolist()})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gold") / "labels.duckdb"
    fill(path)
    return path


@pytest.fixture
def compare(database: Path, bench: Bench) -> Compare:
    def run(*arguments: object) -> Done:
        where = () if "--database" in arguments else ("--database", database)
        return bench.hpc("compare", *arguments, *where, "--resamples", 100)

    return run


def document(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def test_a_model_is_compared_with_gold_weighted_by_its_sample(
    compare: Compare, database: Path
) -> None:
    found = document(compare("model", "--gold", "gold", "--map", "score=code", "--json"))
    assert found["gold"] == {"name": "gold", "posts": 120}
    sample = found["sample"]
    assert sample.pop("population") == pytest.approx(POSTS)
    assert sample.pop("population_error") == 0
    assert sample == {"name": "s1", "sampled": 120, "strata": 2, "not_in_sample": 0}
    (model,) = found["models"]
    assert (model["name"], model["posts"], model["warnings"]) == ("model", POSTS, [])
    (one,) = model["comparisons"]
    with duckdb.connect(str(database), read_only=True) as connection:
        expected = connection.execute(
            "SELECT sum(w) FILTER (code = (score >= 0.5)) / sum(w) FROM (SELECT *, "
            "1 / inclusion_probability AS w FROM samples JOIN labels_gold USING (uri) "
            "JOIN labels_model USING (uri))"
        ).fetchall()[0][0]
    assert one["measures"]["accuracy"]["value"] == pytest.approx(expected)
    low, high = one["measures"]["accuracy"]["interval"]
    assert low < expected < high
    assert (one["posts"], one["threshold"], one["positive"]) == (120, 0.5, "true")
    assert [each["coded"] for each in one["strata"]] == [60, 60]
    (prevalence,) = one["prevalence"]
    assert prevalence["population"] == POSTS
    low, high = prevalence["corrected"]["interval"]
    assert low < 0.2 < high < prevalence["naive"]


def test_two_models_are_set_side_by_side_each_with_its_own_columns(compare: Compare) -> None:
    maps = ("--map", "score=code", "--map", "unsafe=code")
    found = document(compare("model", "guard", "--gold", "gold", *maps, "--json"))
    columns = {each["name"]: [one["model"] for one in each["comparisons"]]
               for each in found["models"]}  # fmt: skip
    assert columns == {"model": ["score"], "guard": ["unsafe"]}
    shown = compare("model", "guard", "--gold", "gold", *maps).stdout
    (table,) = (part for part in shown.split("\n\n") if part.startswith("  gold code"))
    accuracies = [f"{each['comparisons'][0]['measures']['accuracy']['value']:.2f}"
                  for each in found["models"]]  # fmt: skip
    assert re.findall(r"accuracy +(\S+) \[.*\] +(\S+) \[", table)[0] == tuple(accuracies)


def test_the_reference_has_every_key_of_a_comparison(compare: Compare) -> None:
    found = document(compare("model", "--gold", "gold", "--map", "score=code", "--json"))
    cells = read("docs/reference/commands.md").table("The JSON of compare with gold")
    documented = {key for row in cells for key in row[0].replace("`", "").split(", ")}
    assert documented == found["models"][0]["comparisons"][0].keys()


def test_the_report_fits_80_columns_and_shows_every_part(compare: Compare) -> None:
    done = compare("model", "--gold", "gold", "--map", "score=code")
    assert outcome(done) == (0, "")
    _, *lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for part in ("accuracy", "recall", "gold true", "corrected", "stratum", "posts to code"):
        assert any(part in line for line in lines), part


def test_figures_are_drawn_into_a_folder(compare: Compare, tmp_path: Path) -> None:
    arguments = ("model", "--gold", "gold", "--map", "score=code", "--figures", tmp_path / "new")
    found = document(compare(*arguments, "--json"))
    names = ["model-score-gold-code-calibration", "model-score-gold-code-months"]
    assert found["figures"] == [
        str(tmp_path / "new" / f"{name}.{ending}") for name in names for ending in ("svg", "png")
    ]
    assert all(Path(path).stat().st_size for path in found["figures"])
    (tmp_path / "file").touch()
    done = compare(*arguments[:-1], tmp_path / "file")
    assert (exit_code(done), str(tmp_path / "file") in done.stderr) == (1, True), done


def test_without_a_sample_the_figures_are_said_to_hold_for_the_coded_posts_only(
    compare: Compare, tmp_path: Path
) -> None:
    path = tmp_path / "labels.duckdb"
    fill(path)
    with duckdb.connect(str(path)) as database:
        database.execute("DROP TABLE samples")
        database.execute("ALTER TABLE runs DROP COLUMN sample")  # as earlier versions made it
    arguments = ("model", "--gold", "gold", "--map", "score=code", "--database", path)
    found = document(compare(*arguments, "--json"))
    (one,) = found["models"][0]["comparisons"]
    assert (found["sample"], one["strata"]) == (None, [])
    assert [each["kind"] for each in one["warnings"]] == ["no_sample", "wide_interval"]


CHANGES = {
    "a probability of 0": "UPDATE samples SET inclusion_probability = 0",
    "a post twice": "INSERT INTO samples FROM samples LIMIT 1",
    "no rows": "DELETE FROM samples",
    "no table": "DROP TABLE samples",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_sample_whose_rows_are_wrong_is_not_used(
    compare: Compare, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "labels.duckdb"
    fill(path)
    with duckdb.connect(str(path)) as database:
        database.execute(change)
    done = compare("model", "--gold", "gold", "--map", "score=code", "--database", path)
    code, error = outcome(done)
    assert (code, "hpc gather" in error) == (1, True), error


def test_texts_with_many_posts_do_not_make_the_sample_one_of_other_posts(
    compare: Compare, tmp_path: Path
) -> None:
    """Such a sample may by chance stand for 60 % of the posts that there are."""
    path = tmp_path / "labels.duckdb"
    fill(path)
    arguments = ("model", "--gold", "gold", "--map", "score=code", "--database", path, "--json")
    with duckdb.connect(str(path)) as database:
        database.execute("UPDATE samples SET inclusion_probability = inclusion_probability * 1.7")
    found = document(compare(*arguments))
    assert [each["kind"] for each in found["models"][0]["warnings"]] == ["other_population"]
    with duckdb.connect(str(path)) as database:
        database.execute("UPDATE samples SET posts = 30 WHERE uri IN "
                         "(SELECT uri FROM samples ORDER BY hash(uri) LIMIT 3)")  # fmt: skip
    found = document(compare(*arguments))
    assert found["models"][0]["warnings"] == []


def test_the_posts_that_a_sample_was_drawn_from_are_those_of_its_file(
    compare: Compare, tmp_path: Path
) -> None:
    """What the drawn texts stand for varies where a few texts have many posts."""
    path = tmp_path / "labels.duckdb"
    fill(path)
    arguments = ("model", "--gold", "gold", "--map", "score=code", "--database", path, "--json")
    for posts, kinds in ((POSTS, []), (POSTS * 4 // 5, ["other_population"])):
        described = json.dumps({"population_posts": posts})
        with duckdb.connect(str(path)) as database:
            database.execute("UPDATE samples SET posts = 2")
            database.execute("DELETE FROM sample_files")
            database.execute("INSERT INTO sample_files VALUES ('s1', ?)", [described])
        found = document(compare(*arguments))
        assert found["sample"]["population"] == posts
        assert [each["kind"] for each in found["models"][0]["warnings"]] == kinds


def test_why_values_have_no_interval_is_said_once(compare: Compare, tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    with duckdb.connect(str(path)) as database:
        create(database, [True, False] * 40, {post: post % 2 == 0 for post in range(40)})
    arguments = ("model", "--gold", "gold", "--map", "score=code", "--database", path)
    _, *lines = compare(*arguments).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("resamples are the same" in line for line in lines) == 1
    assert sum(line.endswith("no interval") for line in lines) > 4


def test_categories_with_long_names_fit_80_columns(compare: Compare, tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    words = ["speaks of a policy", "speaks of a person", "speaks of neither of them"]
    with duckdb.connect(str(path)) as database:
        gold = {post: words[post % 3 if post % 7 else 0] for post in range(40)}
        create(database, words * 20, gold)
    arguments = ("model", "--gold", "gold", "--map", "score=code", "--database", path)
    _, *lines = compare(*arguments).stdout.splitlines()
    assert max(map(len, lines)) <= 80


def test_scores_in_small_strata_have_a_report(compare: Compare, tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    with duckdb.connect(str(path)) as database:
        drawn = Drawn(posts=range(12), strata=["a", "b"] * 6, probabilities=[0.5] * 12)
        create(database, [3.5 * post for post in range(24)], {n: 4.0 * n for n in range(12)}, drawn)
    arguments = ("model", "--gold", "gold", "--map", "score=code", "--database", path)
    done = compare(*arguments)
    assert (exit_code(done), "mean absolute error" in done.stdout) == (0, True)


def test_gold_of_several_samples_needs_a_choice(compare: Compare, tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    fill(path)
    with duckdb.connect(str(path)) as database:
        database.execute("INSERT INTO samples SELECT 's2', uri, stratum, 1.0, posts FROM samples "
                         "WHERE stratum = 'high'")  # fmt: skip
        database.execute("UPDATE labels_gold SET run_id = 'run-other' WHERE uri IN "
                         "(SELECT uri FROM samples WHERE sample = 's2')")  # fmt: skip
        database.execute("INSERT INTO runs BY NAME SELECT * REPLACE ('run-other' AS run_id, "
                         "'s2' AS sample) FROM runs")  # fmt: skip
    arguments = ("model", "--gold", "gold", "--map", "score=code", "--database", path)
    code, error = outcome(compare(*arguments))
    assert (code, "s1, s2" in error) == (2, True), error
    code, error = outcome(compare(*arguments, "--sample", "s3"))
    assert (code, "s1, s2" in error) == (2, True), error
    found = document(compare(*arguments, "--sample", "s2", "--json"))
    assert (found["sample"]["sampled"], found["sample"]["not_in_sample"]) == (60, 60)
    kinds = {each["kind"] for each in found["models"][0]["warnings"]}
    assert kinds == {"other_population"}


def test_coded_posts_without_a_label_say_how_to_label_them(
    compare: Compare, tmp_path: Path
) -> None:
    path = tmp_path / "labels.duckdb"
    fill(path)
    with duckdb.connect(str(path)) as database:
        database.execute("DELETE FROM labels_model WHERE uri IN (SELECT uri FROM labels_gold)")
    arguments = ("model", "--gold", "gold", "--map", "score=code", "--database", path)
    done = compare(*arguments)
    assert (done.returncode, "--only-labeled-by gold" in done.stdout) == (1, True), done
