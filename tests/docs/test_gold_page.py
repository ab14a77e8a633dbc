"""The pages on gold samples and on estimators, typed from top to bottom."""

import csv
import operator

import pytest

from tests.docs.pages import read
from tests.docs.test_read_the_labels import run_r
from tests.docs.test_tutorials import Reader

HAND_OVER = "docs/how-to/hand-over-to-dsl-or-ppi.md"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Someone who has coded a sample as the page says."""
    made = Reader(tmp_path_factory.mktemp("gold"))
    made.follow("docs/how-to/code-a-gold-sample.md")
    return made


def test_the_page_on_gold_samples_ends_with_the_codings_of_people(reader: Reader) -> None:
    coded = "SELECT count(*), bool_and(was_successfully_labeled) FROM labels_gold_"
    assert reader.query(f"{coded}anna") == [(60, True)]
    assert reader.query(f"{coded}two") == [(90, False)]
    assert (reader.folder / "gold.csv").is_file()


def test_the_examples_for_estimators_run(reader: Reader) -> None:
    pytest.importorskip("ppi_py")
    pytest.importorskip("pandas")
    for block in read(HAND_OVER).blocks:
        if block.language == "console":
            reader.type(block.text.removeprefix("$ ").strip())
    (code,) = (block.text for block in read(HAND_OVER).blocks if block.language == "python")
    low, high = map(float, reader.run_python(code).split(": ")[1].split(" to "))
    assert -0.2 < low < high < 1.2


def test_r_reads_the_table_and_weights_it(reader: Reader) -> None:
    """With the package dsl, where it is installed, R also fits the model."""
    reader.type("hpc export valence --for dsl --gold gold_anna --to dsl.csv --force")
    with (reader.folder / "dsl.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["labeled"] == "1"]
    weights = [1 / float(row["sample_prob"]) for row in rows]
    positive = [float(row["valence_label_positive"]) for row in rows]
    share = sum(map(operator.mul, weights, positive)) / sum(weights)
    (code,) = (block.text for block in read(HAND_OVER).blocks if block.language == "r")
    printed = run_r(code, reader.folder).splitlines()[0]
    assert float(printed.split()[1]) == pytest.approx(share, abs=1e-6)
