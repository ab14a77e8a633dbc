"""With --sample a run labels posts at random, none is paid for twice, and no other post is lost."""

import shutil
from pathlib import Path

import pytest

from hpc.database.register_runs import forget_run
from hpc.run.model.run import Run
from pipeline.backlog.select import BacklogCounts
from pipeline.errors import DamagedError, InputError
from pipeline.model import Answer
from pipeline.run_files import sample_file
from pipeline.run_files.sample_file import SampleFile, Stratum
from pipeline.sampling.allocate import Allocation
from pipeline.sampling.draw import MONTH, DrawRequest
from tests.hpc.cli_bench import exit_code, uris
from tests.hpc.growing_backlog import HOUR, GrowingBacklog, post
from tests.hpc.planning.test_only_labeled_by import configure, uris_of
from tests.pipeline import run_builders
from tests.pipeline.run_builders import FIRST_TIME

FOUR = DrawRequest(size=4, seed=42)
NAME = "test-s42-n4"


@pytest.fixture
def backlog(tmp_path: Path) -> GrowingBacklog:
    """A backlog of 12 posts, one per hour, without labels."""
    made = GrowingBacklog(tmp_path)
    configure(made)
    made.arrive(*(post(number, number) for number in range(1, 13)))
    return made


def sample_of(backlog: GrowingBacklog, name: str = NAME) -> SampleFile:
    return sample_file.read(sample_file.path_of(backlog.bench.folder / "runs", name))


def drawn(backlog: GrowingBacklog, name: str = NAME) -> list[str]:
    return list(sample_of(backlog, name).rows["uri"].to_pylist())


def sampled(backlog: GrowingBacklog, request: DrawRequest = FOUR, **more: object) -> Run:
    run, _ = backlog.submit(sample=request, **more)
    assert run
    return run


def test_a_run_takes_the_drawn_posts_and_its_sample_says_how_likely_each_was(
    backlog: GrowingBacklog,
) -> None:
    run, draft = backlog.submit(sample=FOUR)
    assert run and run.manifest.sample == NAME
    assert sorted(uris_of(run)) == drawn(backlog)
    assert uris_of(run) == sorted(uris_of(run))  # the oldest first, as always
    assert draft.counts == BacklogCounts(
        rows=12, duplicates=0, excluded=0, over_limit=0, posts=4, not_drawn=8
    )  # fmt: skip
    sample = sample_of(backlog).sample
    assert (sample.kind, sample.name, sample.seed, sample.size) == ("submit", "test", 42, 4)
    assert sample.strata == (Stratum(stratum="all", population=12, size=4),)
    backlog.finish(run)
    assert backlog.query("SELECT sample FROM runs") == [(NAME,)]
    assert backlog.query("SELECT * FROM samples ORDER BY uri") == [
        (NAME, uri, "all", 4 / 12, 1) for uri in drawn(backlog)
    ]


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_the_audit_names_a_sample_that_is_not_there_or_damaged(
    backlog: GrowingBacklog, damage: str
) -> None:
    backlog.finish(sampled(backlog))
    path = sample_file.path_of(backlog.bench.folder / "runs", NAME)
    audit = ("audit", "--config", backlog.bench.path)
    assert backlog.bench.document(*audit, code=3)["unreadable_files"] == []
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20])
    (problem,) = backlog.bench.document(*audit, code=1)["unreadable_files"]
    assert str(path) in problem


def test_posts_with_a_label_can_be_drawn_and_are_not_asked_again(backlog: GrowingBacklog) -> None:
    plain, _ = backlog.submit(limit=6)
    assert plain
    backlog.finish(plain)
    run, draft = backlog.submit(sample=DrawRequest(size=10, seed=1))
    assert set(uris_of(run)) == set(drawn(backlog, "test-s1-n10")) - set(uris_of(plain))
    assert draft.counts.excluded == 10 - draft.counts.posts > 0
    assert draft.counts.not_drawn == 2


def test_a_sample_does_not_move_the_watermark_and_a_plain_submit_labels_the_rest(
    backlog: GrowingBacklog,
) -> None:
    plain, _ = backlog.submit(limit=2)
    assert plain
    backlog.finish(plain)
    run = sampled(backlog)
    backlog.finish(run)
    assert backlog.watermark() == FIRST_TIME + 2 * HOUR
    rest, draft = backlog.submit()
    assert rest and draft.since == FIRST_TIME + 2 * HOUR
    backlog.finish(rest)
    assert backlog.labeled() == dict.fromkeys(uris(12, first=1), 1)
    assert backlog.watermark() == FIRST_TIME + 12 * HOUR


def test_posts_from_before_the_watermark_are_drawn_too(backlog: GrowingBacklog) -> None:
    plain, _ = backlog.submit()
    assert plain
    backlog.finish(plain)
    backlog.arrive(*(post(number, 1) for number in range(20, 32)))
    run, draft = backlog.submit(sample=DrawRequest(size=24, seed=1))
    assert uris_of(run) == uris(12, first=20)
    assert draft.counts.excluded == 12
    assert draft.counts.older == 0


def test_the_same_request_again_takes_the_same_posts_however_the_backlog_grew(
    backlog: GrowingBacklog,
) -> None:
    first = sampled(backlog)
    backlog.arrive(*(post(number, number) for number in range(20, 60)))
    run, draft = backlog.submit(sample=FOUR)
    assert run is None
    assert (draft.counts.posts, draft.counts.excluded) == (0, 4)
    assert draft.sample and not draft.sample.is_new
    forget_run(first)  # as if the cluster had refused it
    run, draft = backlog.submit(sample=FOUR)
    assert uris_of(run) == drawn(backlog)
    assert draft.counts == BacklogCounts(
        rows=52, duplicates=0, excluded=0, over_limit=0, posts=4, not_drawn=48
    )  # fmt: skip


def test_a_larger_sample_asks_only_for_the_posts_that_the_smaller_one_lacks(
    backlog: GrowingBacklog,
) -> None:
    small = sampled(backlog)
    large = sampled(backlog, DrawRequest(size=9, seed=42))
    assert set(drawn(backlog)) < set(drawn(backlog, "test-s42-n9"))
    assert sorted([*uris_of(small), *uris_of(large)]) == drawn(backlog, "test-s42-n9")


def test_a_post_that_the_source_no_longer_has_is_counted(backlog: GrowingBacklog) -> None:
    forget_run(sampled(backlog))
    gone = drawn(backlog)[0]
    backlog.bench.backlog([each for each in backlog.posts if each.uri != gone])
    run, draft = backlog.submit(sample=FOUR)
    assert uris_of(run) == [uri for uri in drawn(backlog) if uri != gone]
    assert draft.sample and draft.sample.gone == 1


@pytest.mark.parametrize(
    "other",
    [DrawRequest(size=4, seed=43), DrawRequest(size=5, seed=42),
     DrawRequest(size=4, seed=42, stratify=MONTH)],
)  # fmt: skip
def test_a_sample_of_that_name_that_was_drawn_otherwise_is_rejected(
    backlog: GrowingBacklog, other: DrawRequest
) -> None:
    sampled(backlog, sample_name="mine")
    before = sample_of(backlog, "mine")
    with pytest.raises(InputError):
        backlog.submit(sample=other, sample_name="mine")
    assert sample_of(backlog, "mine") == before
    assert len(backlog.runs()) == 1


@pytest.mark.parametrize("name", ["../mine", "no such sample"])
def test_a_sample_that_does_not_exist_can_be_drawn_but_not_labeled(
    backlog: GrowingBacklog, name: str
) -> None:
    with pytest.raises(InputError):
        backlog.submit(sample_name=name)
    assert backlog.runs() == []


def test_another_name_labels_the_same_sample(backlog: GrowingBacklog) -> None:
    first = sampled(backlog)
    backlog.arrive(post(20, 20))
    configure(backlog, "other")
    second, _ = backlog.submit(sample_name=NAME)
    assert second and second.manifest.sample == NAME
    assert uris_of(second) == uris_of(first)


def test_a_damaged_sample_is_not_drawn_again(backlog: GrowingBacklog) -> None:
    forget_run(sampled(backlog))
    path = sample_file.path_of(backlog.bench.folder / "runs", NAME)
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    with pytest.raises(DamagedError):
        backlog.submit(sample=FOUR)
    assert path.read_bytes() == content[:-9]


def test_a_sample_that_lost_its_file_is_not_drawn_again(backlog: GrowingBacklog) -> None:
    backlog.finish(sampled(backlog))
    path = sample_file.path_of(backlog.bench.folder / "runs", NAME)
    kept = path.rename(path.with_suffix(".kept"))
    backlog.arrive(*(post(number, number) for number in range(20, 60)))
    for again in ({"sample": FOUR}, {"sample_name": NAME}):
        with pytest.raises(InputError):
            backlog.submit(**again)
    assert not path.exists()
    kept.rename(path)
    assert backlog.submit(sample=FOUR)[0] is None


def test_a_sample_of_labeled_posts_counts_only_those_as_its_population(
    backlog: GrowingBacklog,
) -> None:
    configure(backlog, "other")
    other, _ = backlog.submit(limit=8)
    assert other
    backlog.finish(other)
    configure(backlog)
    run, draft = backlog.submit(sample=FOUR, only_labeled_by="other")
    name = "test-s42-n4-of-other"
    assert run and run.manifest.sample == name
    assert sample_of(backlog, name).sample.population == 8
    assert set(uris_of(run)) <= set(uris_of(other))
    assert (draft.counts.not_chosen, draft.counts.not_drawn) == (4, 4)
    with pytest.raises(InputError):
        backlog.submit(sample=DrawRequest(size=9, seed=42), only_labeled_by="other")


def test_strata_share_the_sample_and_posts_without_text_are_in_the_population(
    tmp_path: Path,
) -> None:
    backlog = GrowingBacklog(tmp_path)
    configure(backlog)
    month = 24 * 31
    backlog.arrive(
        *(post(number, number) for number in range(10)),
        *(post(number, month)._replace(text="") for number in range(10, 40)),
    )
    request = DrawRequest(size=8, seed=1, stratify=MONTH)
    run, draft = backlog.submit(sample=request)
    assert run and draft.sample
    assert draft.sample.description.strata == (
        Stratum(stratum="2024-05", population=10, size=2),
        Stratum(stratum="2024-07", population=30, size=6),
    )
    assert draft.posts_to_send == 2
    equal, draft = backlog.submit(
        sample=DrawRequest(size=8, seed=1, stratify=MONTH, allocation=Allocation.EQUAL)
    )
    assert equal and draft.sample
    assert [each.size for each in draft.sample.description.strata] == [4, 4]
    assert draft.counts.excluded == 6


def test_supersede_labels_the_sample_again_and_nothing_else(backlog: GrowingBacklog) -> None:
    plain, _ = backlog.submit()
    assert plain
    backlog.finish(plain)
    configure(backlog, min_text_length=2)
    again = sampled(backlog, supersede=True)
    assert uris_of(again) == drawn(backlog)
    backlog.finish(again)
    assert backlog.query("SELECT uri FROM superseded_test ORDER BY uri") == [
        (uri,) for uri in drawn(backlog)
    ]


def test_a_reason_is_retried_within_the_sample_only(backlog: GrowingBacklog) -> None:
    plain, _ = backlog.submit()
    assert plain
    for shard in plain.manifest.shards:
        run_builders.publish_shard(
            plain.folder, plain.manifest, shard.index,
            answer=lambda uri: Answer(uri, reason="refused: it would not"),
        )  # fmt: skip
    backlog.gather(plain)
    assert backlog.submit(sample=FOUR)[0] is None
    again = sampled(backlog, retry_reason="refused")
    assert uris_of(again) == drawn(backlog)


def test_without_a_run_the_sample_still_reaches_the_database(backlog: GrowingBacklog) -> None:
    plain, _ = backlog.submit()
    assert plain
    backlog.finish(plain)
    document = backlog.bench.document(
        "submit", "--config", backlog.bench.path, "--sample", 3, "--seed", 1
    )
    assert document["run_id"] is None
    assert document["sample"] == {
        "name": "test-s1-n3", "size": 3, "population": 12, "seed": 1, "is_new": True, "gone": 0,
        "strata": [{"stratum": "all", "population": 12, "size": 3}],
    }  # fmt: skip
    assert backlog.query("SELECT count(*), sum(posts / inclusion_probability) FROM samples") == [
        (3, 12.0)
    ]


def test_a_dry_run_draws_the_sample_and_leaves_nothing(backlog: GrowingBacklog) -> None:
    arguments = ("submit", "--config", backlog.bench.path, "--sample", 3, "--seed", 1)
    dry = backlog.bench.document(*arguments, "--dry-run")
    assert (dry["posts"], dry["sample"]["size"]) == (3, 3)
    assert not (backlog.bench.folder / "runs").exists()


def test_a_copy_of_the_project_draws_the_same_posts(
    backlog: GrowingBacklog, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = sampled(backlog)
    elsewhere = GrowingBacklog(tmp_path_factory.mktemp("elsewhere"))
    configure(elsewhere)
    shutil.copy(backlog.bench.folder / "posts.jsonl", elsewhere.bench.folder / "posts.jsonl")
    assert uris_of(sampled(elsewhere)) == uris_of(run)


def label_first_eight_elsewhere(backlog: GrowingBacklog) -> None:
    """Under another name, label posts 1 to 8: every other one is uncertain."""
    configure(backlog, "other")
    other, _ = backlog.submit(limit=8)
    assert other
    for shard in other.manifest.shards:
        run_builders.publish_shard(
            other.folder, other.manifest, shard.index, answer=uncertain_if_even
        )
    backlog.gather(other)
    configure(backlog)


def uncertain_if_even(uri: str) -> Answer:
    compound = 0.5 if int(uri[-13:]) % 2 == 0 else 0.9
    return Answer(uri, {"compound": compound, "valence_label": "neutral"})


UNCERTAIN = "compound BETWEEN 0.4 AND 0.6"


def test_a_condition_on_the_labels_of_another_name_chooses_posts(backlog: GrowingBacklog) -> None:
    label_first_eight_elsewhere(backlog)
    run, draft = backlog.submit(only_labeled_by="other", where=UNCERTAIN)
    assert uris_of(run) == [run_builders.uri(number) for number in (2, 4, 6, 8)]
    assert draft.counts.not_chosen == 8
    assert run
    backlog.finish(run)
    assert backlog.watermark() is None


def test_a_sample_can_be_drawn_from_the_posts_of_a_condition(backlog: GrowingBacklog) -> None:
    label_first_eight_elsewhere(backlog)
    request = DrawRequest(size=3, seed=1)
    run, draft = backlog.submit(sample=request, only_labeled_by="other", where=UNCERTAIN)
    assert draft.sample and draft.sample.description.where == UNCERTAIN
    assert draft.sample.description.population == 4
    uncertain = {run_builders.uri(number) for number in (2, 4, 6, 8)}
    assert len(uris_of(run)) == 3
    assert set(uris_of(run)) < uncertain
    with pytest.raises(InputError):  # the same name, and another condition
        backlog.submit(sample=request, only_labeled_by="other", where="compound > 0.4")


@pytest.mark.parametrize(
    ("other", "where"), [("other", "compund > 0.4"), ("nobody", "true"), ("test", "true")]
)
def test_a_condition_that_cannot_be_evaluated_is_rejected(
    backlog: GrowingBacklog, other: str, where: str
) -> None:
    label_first_eight_elsewhere(backlog)
    with pytest.raises(InputError):
        backlog.submit(only_labeled_by=other, where=where)
    assert len(backlog.runs()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--sample", 3),
        ("--seed", 3),
        ("--stratify", "month"),
        ("--sample", 3, "--seed", 1, "--allocate", "equal"),
        ("--sample", 3, "--seed", 1, "--limit", 2),
        ("--sample", 3, "--seed", "-1"),
        ("--sample", 3, "--seed", "9" * 20),
        ("--sample", 0, "--seed", 1),
        ("--sample", 13, "--seed", 1),
        ("--sample-name", "x", "--limit", 2),
        ("--where", "true"),
    ],
)
def test_options_that_do_not_fit_together_are_rejected(
    backlog: GrowingBacklog, arguments: tuple[object, ...]
) -> None:
    assert exit_code(backlog.bench.submit(*arguments)) == 2
    assert backlog.runs() == []
