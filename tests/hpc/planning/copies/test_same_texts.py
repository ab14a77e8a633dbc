"""Posts with the same text are planned together, asked about once, and labeled again together."""

import pytest

from pipeline.model import Answer
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.pipeline import run_builders
from tests.pipeline.run_builders import read_shard, uri

LABELED = "SELECT uri, valence_label, copied_from FROM labels_test ORDER BY uri"


@pytest.fixture
def growing(tmp_path_factory: pytest.TempPathFactory) -> GrowingBacklog:
    """Return a backlog whose posts 1, 3 and 4 have the same text; the oldest is 3."""
    made = GrowingBacklog(tmp_path_factory.mktemp("growing"))
    same = "what a wonderful day"
    made.arrive(
        post(1, 40)._replace(text=same), post(2, 20), post(3, 10)._replace(text=same),
        post(4, 90)._replace(text=same), post(5, 30),
    )  # fmt: skip
    return made


def test_the_posts_of_a_text_are_in_the_shard_of_the_oldest(growing: GrowingBacklog) -> None:
    run, draft = growing.submit()
    assert run
    uris = [read_shard(run.folder, shard.index)["uri"].to_pylist() for shard in run.manifest.shards]
    assert uris == [[uri(3), uri(1), uri(4)], [uri(2), uri(5)]]
    assert [shard.copies for shard in run.manifest.shards] == [2, 0]
    assert (draft.posts_to_send, draft.posts_to_ask) == (5, 3)


def test_a_limit_leaves_out_the_later_copies(growing: GrowingBacklog) -> None:
    run, _ = growing.submit(limit=2)
    assert run
    assert [shard.copies for shard in run.manifest.shards] == [0, 0]
    growing.finish(run)
    later, draft = growing.submit()
    assert later and draft.since
    assert sum(shard.posts for shard in later.manifest.shards) == 3


@pytest.mark.parametrize("scope", [{"retry_reason": "refusal"}, {"supersede": True}])
def test_the_posts_of_a_text_are_labeled_again_together(
    growing: GrowingBacklog, scope: dict[str, object]
) -> None:
    first, _ = growing.submit()
    assert first
    for shard in first.manifest.shards:
        run_builders.publish_shard(
            first.folder,
            first.manifest,
            shard.index,
            answer=lambda at: Answer(at, reason="refusal"),
        )
    growing.gather(first)
    if "supersede" in scope:
        growing.bench.config(
            classifier={"type": "valence"},
            backlog={"min_text_length": 4},
            storage={
                "run_root": str(growing.bench.folder / "runs"),
                "database": str(growing.bench.folder / "labels.duckdb"),
            },
        )
    again, draft = growing.submit(**scope)
    assert again and draft.posts_to_ask == 3
    for shard in again.manifest.shards:
        assert growing.work(again, shard.index, None)
    growing.gather(again)
    labels = {at: (label, origin) for at, label, origin in growing.query(LABELED)}
    assert labels[uri(1)] == labels[uri(4)] == ("positive", uri(3))
    assert labels[uri(3)] == ("positive", None)
    assert growing.query("SELECT count(*) FROM superseded_test") == [(5,)]
    audit = ("audit", "--config", growing.bench.path, "--post", uri(4))
    assert f"copied from {uri(3)}" in growing.bench.document(*audit)["story"][1]
