"""The shipped configurations for Perspective, as a user types them, against the stand-in."""

import json

import pyarrow.parquet as pq
import pytest

from pipeline.classifiers.perspective.columns import ATTRIBUTES
from tests.hpc.cli_bench import ROOT, Bench, exit_code, outcome
from tests.pipeline import run_builders
from tests.servers.perspective import PerspectiveServer, score

KEY = "AIzaSy-the-key-of-the-shipped-configuration"
KEY_OF_THE_USER = {"PERSPECTIVE_API_KEY": KEY}
SIX = [*ATTRIBUTES][:6]


@pytest.mark.parametrize(
    ("file", "kind", "quota", "attributes"),
    [
        ("perspective", "perspective", 60_000, SIX),
        # Without a quota, which a task joins only after 13 seconds.
        ("perspective_all", "unpaced_perspective", "null", [*ATTRIBUTES]),
    ],
)
def test_one_request_a_post_gives_the_scores_of_all_attributes(
    bench: Bench, file: str, kind: str, quota: object, attributes: list[str]
) -> None:
    bench.backlog(run_builders.posts(6))
    with PerspectiveServer(key=KEY) as server:
        done = bench.hpc(
            "submit",
            "--config", ROOT / "configs" / f"{file}.yaml",
            "--set", f"classifier.type={kind}",
            "--set", f"backlog={{source: {bench.folder}/posts.jsonl}}",
            "--set", f"classifier.base_url={server.url}",
            "--set", f"classifier.requests_per_minute={quota}",
            "--set", "cluster={executor: local, max_parallel: 1}",
            env=KEY_OF_THE_USER,
        )  # fmt: skip
        assert outcome(done) == (0, "")
        assert (server.requests, server.paid) == (6, 6)
    columns = ", ".join(ATTRIBUTES[name] for name in attributes)
    assert bench.query(
        f"SELECT text, attributes_not_supported, {columns} FROM labels_{file} ORDER BY uri"
    ) == [
        (post.text, None, *(score(post.text, name) for name in attributes))
        for post in run_builders.posts(6)
    ]


def test_the_archive_keeps_spans_and_responses_and_its_first_look_can_still_be_read(
    bench: Bench,
) -> None:
    """Its values are long, and there are 43 columns. One attribute is lacking."""
    bench.backlog(
        [post._replace(text=f"🦋 You!\x1b[2J\n{post.text}") for post in run_builders.posts(6)]
    )
    with PerspectiveServer(key=KEY, unsupported=[("SPAM", "en")]) as server:
        settings: list[object] = [
            "--config", ROOT / "configs" / "perspective_archive.yaml",
            "--set", "classifier.type=unpaced_perspective",
            "--set", f"backlog={{source: {bench.folder}/posts.jsonl}}",
            "--set", f"classifier.base_url={server.url}",
            "--set", "classifier.requests_per_minute=null",
            "--set", "cluster={executor: local, max_parallel: 1}",
        ]  # fmt: skip
        done = bench.hpc("submit", *settings, env=KEY_OF_THE_USER)
    assert outcome(done) == (0, "")
    lines = done.stdout.splitlines()
    look = lines[lines.index(f"{bench.folder}/labels.duckdb, table labels_perspective_archive:") :]
    assert look[1] == "  6 posts: 6 labeled"
    # 21 scores, and of the spans, JSON that nobody counts, those without any value; then five posts
    # under a heading, and which columns there is no room for.
    assert len(look) == 2 + 21 + 2 + 1 + 5 + 1
    assert look[22:25] == [
        "  prob_spam: no values",
        "  prob_spam_spans: no values",
        "  attributes_not_supported: SPAM 6",
    ]
    assert "🦋" not in look[-1]
    posts = [line[line.index("🦋") : -1] for line in look[26:-1]]
    assert posts == ["🦋 You! what a fine day "] * 5
    assert max(map(len, look)) < 200
    (kept,) = (bench.folder / "runs").glob("*/raw/*.parquet")
    for row in pq.read_table(kept).to_pylist():
        answer = json.loads(row["response"])
        assert answer["clientToken"] == row["uri"]
        assert len(answer["attributeScores"]) == len(ATTRIBUTES) - 1
        assert all(scores["spanScores"] for scores in answer["attributeScores"].values())
    assert outcome(bench.hpc("audit", *settings, env=KEY_OF_THE_USER)) == (0, "")
    kept.unlink()
    done = bench.hpc("audit", *settings, "--json", env=KEY_OF_THE_USER)
    assert exit_code(done) == 1
    document = json.loads(done.stdout)
    assert (document["whole"], document["places"]["labelled"]) == (False, 6)
    assert [problem.partition(" ")[0] for problem in document["unreadable_files"]] == [str(kept)]
