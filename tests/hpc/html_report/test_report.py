"""`hpc report`: what the page says about real runs, what it keeps to itself, and where it goes."""

import hashlib
import html
import json
import re
import shutil
import subprocess
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.hpc.cli_bench import Bench, exit_code, outcome
from tests.hpc.database.held_database import held
from tests.hpc.snapshot import Snapshot
from tests.pipeline import run_builders
from tests.servers.openai_stub import OpenAIStub, completion

POSTS = 60


class Text(HTMLParser):
    """The text of a page, and the tags of it."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(content)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A complete run of VADER, and then a sample of the same backlog under another name."""
    bench = Bench(tmp_path_factory.mktemp("labeled"))
    bench.config(POSTS, classifier={"type": "valence"})
    assert exit_code(bench.submit()) == 0
    sample = ("--sample", 20, "--seed", 3, "--set", "name=sampled")
    assert exit_code(bench.submit(*sample)) == 0
    return Snapshot(bench)


@pytest.fixture
def study(labeled: Snapshot) -> Bench:
    return labeled.restore()


def page(bench: Bench, name: str = "test") -> str:
    return (bench.folder / f"report-{name}.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reported(labeled: Snapshot) -> tuple[dict[str, Any], str, Bench]:
    """What --json prints about the name of the first run, its page, and where it is."""
    bench = labeled.restore()
    return bench.document("report", "test"), page(bench), bench


def test_a_page_reports_a_complete_run(reported: tuple[dict[str, Any], str, Bench]) -> None:
    made, content, _ = reported
    (subject,) = made["subjects"]
    (run,) = subject["runs"]
    assert (subject["posts"], subject["labeled"], subject["posts_missing"]) == (POSTS, POSTS, 0)
    assert (run["state"], run["posts_published"], run["shards_published"]) == ("complete", POSTS, 2)
    assert made["bytes"] == len(content.encode())
    text = " ".join(Text(content).words)
    assert subject["methods"] in text
    assert re.search(rf"We labeled {POSTS} posts with VADER.*\(vaderSentiment [\d.]+\)", text)
    assert "compound" in text
    assert "valence_label" in text


def test_the_digest_is_what_the_documented_command_prints(
    reported: tuple[dict[str, Any], str, Bench], study: Bench
) -> None:
    (run,) = reported[0]["subjects"][0]["runs"]
    outputs = sorted((study.folder / "runs" / run["run_id"] / "outputs").glob("*.parquet"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in outputs]
    assert len(lines) == 2
    assert run["outputs_digest"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert run["outputs_digest"] in reported[1]
    of_folder, of_archive = re.findall(r"<pre[^>]*>\n(.*sha256sum)</pre>", reported[1])
    folder = study.folder / "runs" / run["run_id"]
    assert printed(of_folder, folder) == f"{run['outputs_digest']}  -\n"
    assert exit_code(study.hpc("clean", "--yes", run["run_id"])) == 0
    assert not outputs[0].exists()
    if shutil.which("unzip") is None:
        pytest.skip("unzip is not installed")
    assert printed(of_archive, folder) == f"{run['outputs_digest']}  -\n"


def printed(command: str, folder: Path) -> str:
    return subprocess.run(
        ["bash", "-c", html.unescape(command)], cwd=folder, text=True, capture_output=True,
        check=True,
    ).stdout  # fmt: skip


def test_the_page_has_no_post_and_no_path(
    reported: tuple[dict[str, Any], str, Bench], study: Bench
) -> None:
    content = reported[1]
    for uri, text in study.query("SELECT uri, text FROM labels_test"):
        assert uri not in content
        assert text not in content
    assert str(study.folder) not in content
    assert str(Path.home()) not in content


def test_the_same_labels_make_the_same_page(
    reported: tuple[dict[str, Any], str, Bench], study: Bench
) -> None:
    study.document("report", "test")
    contents = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", each)
                for each in (reported[1], page(study))]  # fmt: skip
    assert contents[0] == contents[1]


def test_a_sample_weights_means_and_shares(study: Bench) -> None:
    (subject,) = study.document("report", "sampled")["subjects"]
    assert (subject["sample"], subject["weighted"]) == ("sampled-s3-n20", True)
    assert f"20 out of {POSTS} posts (seed 3)" in subject["methods"]
    with duckdb.connect(str(study.folder / "labels.duckdb"), read_only=True) as database:
        mean = database.execute(
            "SELECT sum(compound / inclusion_probability) / sum(1 / inclusion_probability) "
            "FROM labels_sampled JOIN samples USING (uri)"
        ).fetchall()[0][0]
    assert f"mean {mean:.4g}" in " ".join(Text(page(study, "sampled")).words)


def test_without_the_file_of_the_sample_nothing_is_weighted_and_the_page_says_so(
    study: Bench,
) -> None:
    (study.folder / "runs" / "samples" / "sampled-s3-n20.parquet").unlink()
    (subject,) = study.document("report", "sampled")["subjects"]
    assert (subject["sample"], subject["weighted"]) == ("sampled-s3-n20", False)
    assert "Numbers are not weighted" in page(study, "sampled")


def test_a_run_and_a_name_share_a_page_and_the_newest_run_is_the_default(study: Bench) -> None:
    run = study.runs()[0].name
    made = study.document("report", run, "sampled", "--out", "both.html")
    found = [(each["name"], each["run_id"]) for each in made["subjects"]]
    assert found == [("test", run), ("sampled", None)]
    both = (study.folder / "both.html").read_text()
    code, said = outcome(study.hpc("report", "sampled", "--out", "both.html"))
    assert (code, "--force" in said) == (2, True), said
    assert (study.folder / "both.html").read_text() == both
    study.document("report", "sampled", "--out", "both.html", "--force")
    assert (study.folder / "both.html").read_text() != both
    assert study.document("report")["subjects"][0]["name"] == "sampled"
    assert study.document("report")["subjects"][0]["name"] == "sampled"


def test_labels_that_nobody_gathered_are_reported(study: Bench) -> None:
    (study.folder / "labels.duckdb").unlink()
    (subject,) = study.document("report", "test")["subjects"]
    assert (subject["posts"], subject["runs"][0]["state"]) == (POSTS, "complete")
    assert not (study.folder / "labels.duckdb").exists()
    assert list(study.folder.glob(".tmp*")) == []


def test_a_database_that_another_process_writes_to_does_not_matter(study: Bench) -> None:
    with held(study.folder / "labels.duckdb", read_only=False):
        (subject,) = study.document("report", "test")["subjects"]
    assert subject["posts"] == POSTS


def test_an_incomplete_run_says_how_many_posts_are_missing_and_on_which_days(bench: Bench) -> None:
    posts = [
        post._replace(preprocessing_timestamp=datetime(2024, 5, 1 + number // 4))
        for number, post in enumerate(run_builders.posts(10))
    ]
    posts[8] = posts[8]._replace(text=posts[0].text)  # the only one of its day with a label
    bench.backlog(posts)
    bench.config(sharding={"shards": 2})
    bench.script(1, "fail fail fail fail")
    bench.hpc("submit", "--config", bench.path)
    made = bench.document("report", "test")
    (subject,) = made["subjects"]
    assert subject["posts_missing"] == 5
    assert subject["runs"][0]["state"] in ("failed", "blocked")
    assert subject["open_periods"] == {"2024-05-02": 4, "2024-05-03": 1}
    text = " ".join(Text(page(bench)).words)
    assert "5 of 10 posts have no published result" in text
    assert "These numbers are not final" in text
    assert "no random part" in subject["methods"]
    (bench.runs()[0] / "shards" / "00001.parquet").unlink()
    assert bench.document("report", "test")["subjects"][0]["open_periods"] == {}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("tesst",), "did you mean 'test'"),
        (("test", "--out", "page.txt"), "page.txt"),
        (("test", "--out", "nowhere/page.html"), "nowhere"),
        (("test", "--out", "mine.html"), "mine.html"),
        (("test", "--out", "mine.html", "--force"), "mine.html"),
        (("test", "--gold", "nobody"), "nobody"),
    ],
)  # fmt: skip
def test_a_wrong_command_is_explained_and_replaces_nothing(
    study: Bench, arguments: tuple[str, ...], named: str
) -> None:
    (study.folder / "mine.html").write_text("<p>mine</p>")
    code, said = outcome(study.hpc("report", *arguments))
    assert code == 2, said
    assert named in said
    assert (study.folder / "mine.html").read_text() == "<p>mine</p>"
    assert list(study.folder.glob("report-*")) == []


def test_a_page_inside_a_run_is_rejected(study: Bench) -> None:
    target = study.runs()[0] / "page.html"
    code, said = outcome(study.hpc("report", "test", "--out", target))
    assert (code, target.exists(), str(target.parent) in said) == (2, False, True)


def test_a_damaged_output_is_named_and_ends_with_code_1(study: Bench) -> None:
    (study.folder / "labels.duckdb").unlink()
    output = sorted((study.runs()[0] / "outputs").glob("*.parquet"))[0]
    content = bytearray(output.read_bytes())
    content[40] ^= 0xFF
    output.write_bytes(content)
    done = study.hpc("report", "test", "--json")
    assert exit_code(done) == 1
    (subject,) = json.loads(done.stdout)["subjects"]
    assert subject["posts"] == POSTS // 2
    assert output.name in subject["problems"][0]
    assert str(study.folder) not in page(study)


def test_a_key_of_the_configuration_is_not_in_the_page(bench: Bench) -> None:
    bench.backlog(run_builders.posts(4))
    key_file = bench.folder / "secret-place" / "key"
    key_file.parent.mkdir()
    key_file.write_text("sk-verysecretkey1234")
    key_file.chmod(0o600)
    prompt = bench.folder / "prompt.txt"
    prompt.write_text("Is it </script><b>toxic</b>? See /home/ana/notes.")
    # It rejects the key, so that the run ends at once.
    with OpenAIStub(lambda body, nth: completion({}), key="another") as server:
        bench.config(
            classifier={
                "type": "llm",
                "base_url": server.base_url,
                "model": "/home/ana/models/tiny",
                "prompt": str(prompt),
                "labels": [{"name": "toxic", "type": "bool"}, {"name": "why", "type": "text"}],
                "api_key_file": str(key_file),
            }
        )
        assert exit_code(bench.hpc("submit", "--config", bench.path)) == 1
    bench.document("report", "test")
    content = page(bench)
    text = "".join(Text(content).words)
    assert "sk-verysecret" not in content
    assert "secret-place" not in content
    assert "Is it </script><b>toxic</b>? See /home/ana/notes." in text  # the prompt is quoted whole
    assert "/home/ana/models" not in text
    assert not {"b", "script"} & set(Text(content).tags)
