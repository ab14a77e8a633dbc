"""The tutorial on a corrected estimate, typed from top to bottom."""

import json

import pytest

from tests.docs.pages import read
from tests.docs.test_tutorials import Reader

PAGE = "docs/tutorial/corrected-estimate.md"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    pytest.importorskip("matplotlib")
    made = Reader(tmp_path_factory.mktemp("estimate"))
    made.follow(PAGE)
    return made


def test_the_corrected_intervals_contain_the_truth_and_the_naive_shares_do_not(
    reader: Reader,
) -> None:
    (code,) = (b.text for b in read(PAGE).blocks if b.language == "python" and not b.title)
    truth = dict(line.split() for line in reader.run_python(code).splitlines())
    found = json.loads(reader.type("hpc compare valence --gold gold_me --json"))
    (comparison,) = found["models"][0]["comparisons"]
    assert len(truth) == len(comparison["prevalence"]) == 3
    for one in comparison["prevalence"]:
        low, high = one["corrected"]["interval"]
        assert low <= float(truth[one["label"]]) <= high
        assert not low <= one["naive"] <= high
        for number in (truth[one["label"]], f"{one['naive']:.1%}" if one["label"] == "negative"
                       else ""):  # fmt: skip
            assert number in read(PAGE).text
    figures = {path.suffix for path in (reader.folder / "figures").iterdir()}
    assert figures == {".svg", ".png"}


def test_the_page_shows_what_the_command_prints(reader: Reader) -> None:
    (shown,) = (block.text for block in read(PAGE).blocks if block.language == "text")
    assert shown in reader.type("hpc compare valence --gold gold_me")
