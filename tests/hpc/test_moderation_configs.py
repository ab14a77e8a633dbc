"""The shipped configurations for moderation endpoints, as a user types them, against stand-ins."""

import pytest

from tests.hpc.cli_bench import ROOT, Bench, outcome
from tests.pipeline import run_builders
from tests.servers.hosted.moderation import CATEGORIES, ModerationServer, score

KEY = "sk-the-key-of-the-shipped-configuration"


@pytest.mark.parametrize("provider", ["openai", "mistral"])
def test_each_post_gets_a_score_of_each_category(bench: Bench, provider: str) -> None:
    posts = run_builders.posts(6)
    bench.backlog(posts)
    with ModerationServer(key=KEY, provider=provider) as server:
        done = bench.hpc(
            "submit",
            "--config", ROOT / "configs" / f"moderation_{provider}.yaml",
            "--set", f"backlog={{source: {bench.folder}/posts.jsonl}}",
            "--set", f"classifier.base_url={server.base_url}",
            "--set", "classifier.requests_per_minute=null",
            "--set", "classifier.posts_per_request=6",
            "--set", "cluster={executor: local, max_parallel: 1}",
            env={f"{provider.upper()}_API_KEY": KEY},
        )  # fmt: skip
        assert outcome(done) == (0, "")
    assert [len(texts) for texts in server.inputs] == [1, 2 * 6 + 1]
    names = CATEGORIES[provider]
    columns = ", ".join(name.replace("/", "_").replace("-", "_") for name in names)
    assert bench.query(
        f"SELECT text, {columns} FROM labels_moderation_{provider} ORDER BY uri"
    ) == [(post.text, *(score(post.text, name) for name in names)) for post in posts]
    usage = bench.query(f"SELECT sum(moderation_requests) FROM labels_moderation_{provider}")
    assert usage == [(1,)]
