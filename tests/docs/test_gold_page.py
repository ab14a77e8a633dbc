"""The page on gold samples, typed from top to bottom."""

from pathlib import Path

from tests.docs.test_tutorials import Reader


def test_the_page_on_gold_samples_ends_with_the_codings_of_people(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.follow("docs/how-to/code-a-gold-sample.md")
    coded = "SELECT count(*), bool_and(was_successfully_labeled) FROM labels_gold_"
    assert reader.query(f"{coded}anna") == [(60, True)]
    assert reader.query(f"{coded}two") == [(90, False)]
    assert (tmp_path / "gold.csv").is_file()
