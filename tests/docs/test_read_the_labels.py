"""Each example of the page on R, pandas and polars runs, and each reader gets the same texts."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.database import export_labels
from pipeline.database.export_labels import ExportRequest
from tests.docs.pages import read
from tests.docs.test_tutorials import Reader, labeled
from tests.pipeline.database.test_export_labels import NAME, ODD_TEXTS, make_database

__all__ = ["labeled"]

PAGE = "docs/how-to/read-the-labels.md"


def run_r(code: str, folder: Path) -> str:
    """Run R and return what it printed. Its absence is a failure in CI, and a skip elsewhere."""
    if not shutil.which("Rscript"):
        if os.environ.get("CI") == "true":
            pytest.fail("no Rscript")
        pytest.skip("no Rscript")
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", code],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower(), done.stderr
    return done.stdout


def test_the_examples_on_the_page_run(labeled: Reader) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    printed = []
    for block in read(PAGE).blocks:
        for words in block.commands:
            labeled.type(" ".join([*words, "--force"]))
        if block.language == "python":
            printed.append(labeled.run_python(block.text))
        if block.language == "r" and "library(arrow)" not in block.text:
            printed.append(run_r(block.text, labeled.folder))
    pandas_parquet, pandas_csv, polars_parquet, r_csv, database = printed
    for text in (pandas_parquet, polars_parquet, r_csv, database):
        assert "positive" in text
    assert "datetime64[us, UTC]" in pandas_csv or "datetime64[ns, UTC]" in pandas_csv


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts that are hard to write and read."""
    folder = tmp_path_factory.mktemp("odd")
    make_database(folder / "labels.duckdb", ODD_TEXTS)
    for name in ("labels.csv", "labels.csv.gz", "labels.parquet"):
        export_labels.export(folder / "labels.duckdb", ExportRequest(name=NAME), folder / name)
    return folder


@pytest.mark.parametrize("name", ["labels.csv", "labels.csv.gz"])
def test_pandas_reads_the_texts_of_a_csv_file(odd: Path, name: str) -> None:
    pandas = pytest.importorskip("pandas")
    posts = pandas.read_csv(odd / name, keep_default_na=False, na_values=[""])
    assert posts["text"].fillna("").tolist() == ODD_TEXTS


@pytest.mark.parametrize("name", ["labels.csv", "labels.csv.gz"])
def test_polars_reads_the_texts_of_a_csv_file(odd: Path, name: str) -> None:
    polars = pytest.importorskip("polars")
    assert polars.read_csv(odd / name)["text"].to_list() == ODD_TEXTS


def test_parquet_holds_the_texts_for_pandas_and_polars(odd: Path) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    assert pandas.read_parquet(odd / "labels.parquet")["text"].tolist() == ODD_TEXTS
    assert polars.read_parquet(odd / "labels.parquet")["text"].to_list() == ODD_TEXTS


def test_r_reads_the_texts_of_a_csv_file(odd: Path) -> None:
    """But for NUL, which R cannot hold, carriage returns, and the empty text."""
    code = (
        'posts <- read.csv("labels.csv", na.strings = "", encoding = "UTF-8", skipNul = TRUE)\n'
        "for (text in posts$text) cat('[', if (is.na(text)) '' else "
        "paste(utf8ToInt(text), collapse = ', '), ']\\n')"
    )
    printed = run_r(code, odd).splitlines()
    texts = ["".join(map(chr, json.loads(line))) for line in printed]
    expected = [
        text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "") for text in ODD_TEXTS
    ]
    assert texts == expected
