"""Models of random weights through transformers' own loading: the probabilities of a plain pass."""

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import pytest

from pipeline.classifiers import base
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.transformers import classifier as local_model
from pipeline.classifiers.transformers.classifier import TransformersClassifier
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Column, JsonObject, Post
from pipeline.run_files import last_words, output
from pipeline.run_files.manifest import work_path
from tests.pipeline import task_processes
from tests.pipeline.classifiers.asking import answers, frozen_options, options_of, posts
from tests.pipeline.run_builders import make_run, order
from tests.pipeline.run_builders import posts as source_posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

import torch
from tokenizers import Regex, normalizers, processors

from tests.pipeline.classifiers.transformers import tiny_model
from tests.pipeline.classifiers.transformers.tiny_model import MULTI, SINGLE, TOXIC

TEXTS = [
    "what a fine day",
    "a",
    "The table is awful " * 9,
    "🦋 مرحبا",
    "is the day awful and the table fine",
    "xyzzy 42",
    *(" ".join(tiny_model.WORDS[: 1 + n % 9]) + f" {n}" for n in range(60)),
]
# Where tasks share a machine, each takes its part of the cores.
ONE_THREAD = TaskShare(parallel_tasks=1_000)
LAB = {
    "toxic": "prob_toxic",
    "severe_toxic": "prob_severe_toxic",
    "obscene": "prob_profanity",
    "threat": "prob_threat",
    "insult": "prob_insult",
    "identity_hate": "prob_identity_attack",
}


@pytest.fixture(scope="module")
def toxic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("model") / "tiny-toxic")


def made(folder: Path, **keys: Any) -> TransformersClassifier:
    """On a GPU, where the machine has one; its own choice would be half the precision."""
    options = options_of("transformers", {"model": str(folder), "dtype": "float32", **keys})
    return TransformersClassifier(options, ONE_THREAD)


def probabilities(classifier: TransformersClassifier, texts: Sequence[str]) -> list[list[float]]:
    found = answers(classifier, posts(*texts))
    rows = []
    for text in texts:
        values = found[text].values
        assert values is not None, found[text]
        rows.append([value for value in values.values() if isinstance(value, float)])
    return rows


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "gpt2"])
@pytest.mark.parametrize("problem_type", [MULTI, SINGLE])
def test_each_post_has_the_probabilities_of_a_pass_of_its_own(
    tmp_path: Path, kind: str, problem_type: str
) -> None:
    folder = tiny_model.save(tmp_path, kind=kind, problem_type=problem_type)
    expected = tiny_model.plain(folder, TEXTS, softmax=problem_type == SINGLE)
    found = probabilities(made(folder, max_tokens_per_batch=200), TEXTS)
    assert len({row[0] for row in found}) > 50
    for row, plain in zip(found, expected, strict=True):
        assert row == pytest.approx(plain, abs=1e-5)


def test_a_multi_label_model_has_a_column_a_label(toxic: Path) -> None:
    classifier = made(toxic)
    assert classifier.columns == (
        *(Column(f"prob_{label}", "number") for label in TOXIC),
        Column("was_truncated", "flag"),
    )
    (answer,) = classifier.classify(posts("what a fine day"))
    (plain,) = tiny_model.plain(toxic, ["what a fine day"])
    values = {f"prob_{label}": one for label, one in zip(TOXIC, plain, strict=True)}
    assert answer == Answer(
        "at://0", pytest.approx(values, abs=1e-5), facts={"was_truncated": False}
    )


def test_labels_may_have_the_columns_of_another_classifier(toxic: Path) -> None:
    classifier = made(toxic, labels={**LAB, "toxic": "prob_toxic"})
    assert [column.name for column in classifier.columns] == [*LAB.values(), "was_truncated"]
    (answer,) = classifier.classify(posts("the table is brown"))
    plain = dict(zip(TOXIC, tiny_model.plain(toxic, ["the table is brown"])[0], strict=True))
    assert answer.values == {
        column: pytest.approx(plain[label], abs=1e-5) for label, column in LAB.items()
    }


def test_labels_that_exclude_one_another_have_the_most_probable_beside_them(
    tmp_path: Path,
) -> None:
    moods = ("negative", "neutral", "positive")
    folder = tiny_model.save(tmp_path, labels=moods, problem_type=SINGLE)
    classifier = made(folder, labels={"positive": "prob_positive"})
    assert classifier.columns == (
        Column("prob_positive", "number"),
        Column("label", "text"),
        Column("was_truncated", "flag"),
    )
    found = answers(classifier, posts(*TEXTS))
    seen = set()
    for text, plain in zip(TEXTS, tiny_model.plain(folder, TEXTS, softmax=True), strict=True):
        likeliest = moods[plain.index(max(plain))]
        assert found[text].values == {
            "prob_positive": pytest.approx(plain[2], abs=1e-5),
            "label": likeliest,
        }
        seen.add(likeliest)
    assert len(seen) > 1


def test_what_the_labels_are_to_one_another_can_be_overruled(tmp_path: Path) -> None:
    folder = tiny_model.save(tmp_path, labels=("a", "b"), problem_type=None)
    assert made(folder).columns[-2] == Column("label", "text")
    expected = tiny_model.plain(folder, TEXTS[:3])
    found = probabilities(made(folder, multi_label=True), TEXTS[:3])
    assert found == [pytest.approx(row, abs=1e-5) for row in expected]


def test_a_post_that_is_too_long_is_read_from_its_beginning_and_says_so(toxic: Path) -> None:
    long = "a fine day " * 30
    found = answers(made(toxic), posts(long, "a fine day"))
    assert found[long].facts == {"was_truncated": True}
    assert found["a fine day"].facts == {"was_truncated": False}
    shortened = answers(made(toxic, max_length=8), posts("a fine day a fine", long))
    beginning = "a fine day a fine day"
    (plain,) = tiny_model.plain(toxic, [beginning])
    values = shortened[long].values
    assert values is not None
    assert list(values.values()) == pytest.approx(plain, abs=1e-5)
    assert shortened["a fine day a fine"].facts == {"was_truncated": False}


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_tokenizer_without_a_limit_takes_the_models(tmp_path: Path, kind: str) -> None:
    """RoBERTa's first positions are never a token's: one token more, and it would crash."""
    tiny_model.model(kind=kind, positions=40).save_pretrained(tmp_path)
    tiny_model.tokenizer(positions=0).save_pretrained(tmp_path)
    classifier = made(tmp_path)
    limit = 40 if kind == "bert" else 39
    fits, cut = " ".join(["fine"] * (limit - 2)), " ".join(["fine"] * (limit - 1))
    found = answers(classifier, posts(fits, cut))
    assert found[fits].facts == {"was_truncated": False}
    assert found[cut].facts == {"was_truncated": True}
    assert found[fits].values == pytest.approx(found[cut].values, abs=1e-5)


def test_a_vocabulary_alone_is_a_tokenizer_as_toxic_bert_has_it(tmp_path: Path) -> None:
    """No tokenizer.json: transformers makes one of vocab.txt and the configuration."""
    folder = tiny_model.save(tmp_path / "new")
    old = Path(shutil.copytree(folder, tmp_path / "old"))
    (old / "tokenizer.json").unlink()
    (old / "vocab.txt").write_text("\n".join(tiny_model.VOCABULARY) + "\n")
    (old / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 64}')
    texts = [text for text in TEXTS if "🦋" not in text]
    expected = probabilities(made(folder), texts)
    assert probabilities(made(old), texts) == [pytest.approx(row, abs=1e-5) for row in expected]


def test_the_same_life_twice_agrees_exactly_and_another_to_rounding(toxic: Path) -> None:
    whole = probabilities(made(toxic, max_tokens_per_batch=300), TEXTS)
    assert probabilities(made(toxic, max_tokens_per_batch=300), TEXTS) == whole
    later = probabilities(made(toxic, max_tokens_per_batch=64), TEXTS[17:])
    assert later == [pytest.approx(row, abs=1e-5) for row in whole[17:]]


@pytest.mark.parametrize(("dtype", "nearness"), [("bfloat16", 0.1), ("float16", 0.02)])
@pytest.mark.parametrize("problem_type", [MULTI, SINGLE])
def test_half_the_precision_is_near_and_is_named(
    tmp_path: Path, dtype: str, nearness: float, problem_type: str
) -> None:
    folder = tiny_model.save(tmp_path / "tiny-toxic", problem_type=problem_type)
    exact, half = made(folder), made(folder, dtype=dtype)
    network: Any = half.model_at_work._model
    assert {str(one.dtype) for one in network.parameters()} == {f"torch.{dtype}"}
    revision = exact.model.removeprefix("tiny-toxic@").removesuffix(" float32")
    assert revision.startswith("sha256:")
    assert half.model == f"tiny-toxic@{revision} {dtype}"
    whole, near = probabilities(exact, TEXTS), probabilities(half, TEXTS)
    for row, found in zip(whole, near, strict=True):
        assert found == pytest.approx(row, abs=nearness)
        # Computed in float32 from the logits on: rounded there, these would not add up.
        assert problem_type == MULTI or sum(found) == pytest.approx(1, abs=1e-6)
    assert near != whole


def test_what_is_too_large_for_half_the_precision_is_a_reason_and_never_a_score(
    tmp_path: Path,
) -> None:
    """float16 ends at 65,504: a word whose numbers are larger is infinite in it, and not in the
    others."""
    model = tiny_model.model()
    with torch.no_grad():
        model.get_input_embeddings().weight[tiny_model.VOCABULARY.index("poison")] *= 1e6
    model.save_pretrained(tmp_path)
    tiny_model.tokenizer(positions=64).save_pretrained(tmp_path)
    texts = ["what a fine day", "what a poison day"]
    reasons = {
        dtype: [answers(made(tmp_path, dtype=dtype), posts(*texts))[text].reason for text in texts]
        for dtype in ("float32", "bfloat16", "float16")
    }
    assert reasons == {
        "float32": [None, None],
        "bfloat16": [None, None],
        "float16": [None, "invalid_answer"],
    }


def with_a_word_that_is_no_number(folder: Path) -> Path:
    model = tiny_model.model()
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[tiny_model.VOCABULARY.index("poison")] = float("nan")
    model.save_pretrained(folder)
    tiny_model.tokenizer(positions=64).save_pretrained(folder)
    return folder


def test_what_is_no_number_is_a_reason_and_never_a_score(tmp_path: Path) -> None:
    classifier = made(with_a_word_that_is_no_number(tmp_path))
    texts = ["what a fine day", "what a poison day", "the table is awful", "poison " * 99]
    found = answers(classifier, posts(*texts))
    assert {text: found[text].reason for text in texts} == {
        texts[0]: None,
        texts[1]: "invalid_answer",
        texts[2]: None,
        texts[3]: "invalid_answer",
    }
    assert found[texts[1]].values is None
    assert found[texts[3]].facts == {"was_truncated": True}


def with_a_tokenizer_that_leaves_nothing_of_digits(folder: Path) -> Path:
    """And has no tokens of its own around a text, as word-level ones often do."""
    tiny_model.model().save_pretrained(folder)
    reader = tiny_model.tokenizer(positions=64)
    reader.backend_tokenizer.normalizer = normalizers.Replace(Regex("[0-9]"), "")
    reader.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    reader.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("others", [[], ["what a fine day", "the table is awful"]])
def test_a_text_of_which_the_tokenizer_leaves_nothing_has_a_reason(
    tmp_path: Path, others: list[str]
) -> None:
    """Not the probabilities of a batch's padding; and alone it ends no task."""
    classifier = made(with_a_tokenizer_that_leaves_nothing_of_digits(tmp_path))
    found = answers(classifier, posts("12345", *others, "678 90"))
    assert [found[text].reason for text in ("12345", "678 90")] == ["no_tokens"] * 2
    assert [found[text].values for text in ("12345", "678 90")] == [None] * 2
    assert [found[text].reason for text in others] == [None] * len(others)
    for text, plain in zip(others, tiny_model.plain(tmp_path, others), strict=True):
        assert found[text].values == pytest.approx(
            {f"prob_{label}": one for label, one in zip(TOXIC, plain, strict=True)}, abs=1e-5
        )


TOO_MUCH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class OutOfMemory:
    """A GPU's memory that holds so many rows of a model's input, and an error like torch's."""

    def __init__(
        self, classifier: TransformersClassifier, rows: int, error: RuntimeError = TOO_MUCH
    ) -> None:
        self.rows = rows
        self.error = error
        self.seen: list[int] = []
        network = classifier.model_at_work._model
        network.register_forward_pre_hook(self._look, with_kwargs=True)

    def _look(self, model: Any, arguments: Any, inputs: dict[str, Any]) -> None:
        rows = inputs["input_ids"].shape[0]
        self.seen.append(rows)
        if rows > self.rows:
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        TOO_MUCH,
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    toxic: Path, error: RuntimeError
) -> None:
    expected = probabilities(made(toxic), TEXTS)
    classifier = made(toxic)
    memory = OutOfMemory(classifier, 3, error)
    found = probabilities(classifier, TEXTS)
    assert found == [pytest.approx(row, abs=1e-5) for row in expected]
    assert sum(rows for rows in memory.seen if rows <= 3) == len(TEXTS)


def test_after_one_that_did_not_fit_smaller_batches_are_planned(toxic: Path) -> None:
    classifier = made(toxic, max_tokens_per_batch=6 * 40)
    memory = OutOfMemory(classifier, rows=3)
    texts = [f"what a fine day {number}" for number in range(6)]  # of 7 tokens or 8 each
    list(classifier.classify(posts(*texts)))
    assert memory.seen == [6, 3, 3]
    memory.seen.clear()
    list(classifier.classify(posts(*texts)))
    assert memory.seen == [3, 3]


def test_one_post_that_does_not_fit_ends_the_task_as_out_of_memory(toxic: Path) -> None:
    classifier = made(toxic, device="cpu")
    OutOfMemory(classifier, rows=0)
    with pytest.raises(TaskError) as ended:
        list(classifier.classify(posts("what a fine day", "a fine table")))
    assert ended.value.cause is Cause.OUT_OF_MEMORY
    assert str(ended.value) == (
        "one post of 6 tokens does not fit memory: more of it (cluster.mem_gb), or a smaller "
        "classifier.max_length or dtype"
    )


def test_another_error_of_the_device_is_no_reason_to_try_it_with_less(toxic: Path) -> None:
    classifier = made(toxic)
    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    memory = OutOfMemory(classifier, 0, broken)
    with pytest.raises(RuntimeError) as ended:
        list(classifier.classify(posts("what a fine day", "a fine table")))
    assert ended.value is broken
    assert len(memory.seen) == 1


class Watched(Sequence[Post]):
    """Posts as the worker hands them out, to one thread; counts those that were taken."""

    def __init__(self, given: list[Post], stop_after: int | None = None) -> None:
        self.given = given
        self.taken = 0
        self._stop_after = stop_after

    def __len__(self) -> int:
        return len(self.given)

    @overload
    def __getitem__(self, at: int) -> Post: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Post]: ...
    def __getitem__(self, at: int | slice) -> Post | Sequence[Post]:
        raise AssertionError("taken out of order")

    def __iter__(self) -> Iterator[Post]:
        for post in self.given[: self._stop_after]:
            assert threading.current_thread() is threading.main_thread()
            self.taken += 1
            yield post


def test_what_is_in_hand_is_bounded_by_tokens(toxic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of 16 batches of 40 tokens, a batch, and two chunks whose tokens are made ahead."""
    monkeypatch.setattr(local_model, "CHUNK", 4)
    texts = [f"what a fine day {number % 10}" for number in range(400)]  # of 7 tokens each
    given = Watched(posts(*texts))
    in_hand = [
        given.taken - answered
        for answered, _ in enumerate(made(toxic, max_tokens_per_batch=40).classify(given))
    ]
    assert len(in_hand) == 400
    assert max(in_hand) <= 16 * 40 / 7 + 1 + 5 + 2 * 4
    assert max(in_hand) > 16 * 40 / 7


def test_the_next_posts_tokens_are_made_while_a_batch_is_computed(
    toxic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch waits for a chunk that is not in the pool: 19 posts of 7 tokens fill that,
    which are five chunks of 4."""
    monkeypatch.setattr(local_model, "CHUNK", 4)
    classifier = made(toxic, max_tokens_per_batch=8)
    model, done = classifier.model_at_work, threading.Event()
    tokenize, chunks = model.tokenize, 0

    def counting(texts: Sequence[str]) -> Any:
        nonlocal chunks
        tokens = tokenize(texts)
        chunks += 1
        if chunks == 6:
            done.set()
        return tokens

    monkeypatch.setattr(model, "tokenize", counting)
    model._model.register_forward_pre_hook(lambda *_: None if done.wait(60) else 1 / 0)
    texts = [f"what a fine day {number % 10}" for number in range(40)]
    assert len(list(classifier.classify(posts(*texts)))) == 40


def test_posts_that_run_out_when_the_task_is_told_to_stop_are_all_answered(toxic: Path) -> None:
    given = Watched(posts(*TEXTS), stop_after=20)
    assert {answer.uri for answer in made(toxic).classify(given)} == {
        post.uri for post in given.given[:20]
    }


def test_no_posts_are_no_answers(toxic: Path) -> None:
    assert list(made(toxic).classify([])) == []


def options(folder: Path, **keys: Any) -> JsonObject:
    own = {"type": "transformers", "model": str(folder), "dtype": "float32"}
    return frozen_options(own | keys)


def test_it_computes_on_the_cores_that_slurm_gave(
    toxic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    for cores in ("2", "1"):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", cores)
        made(toxic)
        assert torch.get_num_threads() == min(int(cores), len(os.sched_getaffinity(0)))


def test_a_gpu_that_slurm_gave_is_used_or_the_task_ends(
    toxic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    if torch.cuda.is_available():
        assert made(toxic).model_at_work.device == "cuda"
        return
    with pytest.raises(TaskError, match=r"^Slurm gave this task a GPU \(SLURM_JOB_GPUS=0\)"):
        made(toxic)
    assert made(toxic, device="cpu").model_at_work.device == "cpu"


def test_a_shard_is_labelled_by_a_process_of_its_own(tmp_path: Path, toxic: Path) -> None:
    run_dir, run = make_run(
        tmp_path, source_posts(50), classifier=options(toxic), checkpoint_rows=10
    )
    code, out, err = task_processes.run(replace(order(run_dir), parallel_tasks=1_000))
    assert (code, out, err) == (
        0,
        "shard 0: 50 posts, 0 already answered\nshard 0: published\n",
        "",
    )
    _, table = output.read(run_dir, run, 0)
    assert table is not None
    expected = tiny_model.plain(toxic, table["text"].to_pylist())
    assert table["prob_toxic"].to_pylist() == pytest.approx([row[0] for row in expected], abs=1e-5)
    assert table["was_truncated"].to_pylist() == [False] * 50
    assert set(table["model"].to_pylist()) == {f"tiny-toxic@{options(toxic)['revision']} float32"}
    assert list(work_path(run_dir, 0).iterdir()) == []


def test_without_the_extra_on_the_node_the_run_stops_and_says_what_to_install(
    tmp_path: Path, toxic: Path
) -> None:
    run_dir, _ = make_run(tmp_path, source_posts(3), classifier=options(toxic))
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "torch.py").write_text("raise ImportError(\"No module named 'torch'\")")
    code, _, _ = task_processes.run(order(run_dir), tmp_path / "lacking")
    words = last_words.read(run_dir, 1, 0)
    assert words is not None
    assert (code, words.cause, words.stops_run, words.message) == (
        1,
        Cause.REFUSED,
        True,
        "classifier.type transformers needs more on the compute node (No module named 'torch'): "
        "pip install 'hpc-batch-classification[transformers]' in the environment of "
        "cluster.python",
    )


def test_a_folder_whose_files_changed_after_planning_is_refused(tmp_path: Path) -> None:
    folder = tiny_model.save(tmp_path / "model")
    planned = options(folder)
    tiny_model.model(seed=2).save_pretrained(folder)
    with pytest.raises(TaskError) as refused:
        base.create(planned, ONE_THREAD)
    assert refused.value.cause is Cause.REFUSED
    assert str(refused.value) == (
        f"the model {folder} cannot be used: its files are not those that the run was planned "
        "with: put them back, or submit anew"
    )
    shutil.rmtree(folder)
    with pytest.raises(TaskError) as refused:
        base.create(planned, ONE_THREAD)
    assert refused.value.cause is Cause.REFUSED
    assert str(refused.value) == (
        f"the model {folder} cannot be used: no such folder here: put it on a file system that the "
        "compute nodes see"
    )


def test_which_model_it_is_decides_and_where_it_lies_does_not(tmp_path: Path) -> None:
    folder = tiny_model.save(tmp_path / "here")
    here = options(folder)
    moved = options(Path(shutil.copytree(folder, tmp_path / "there")), device="cpu",
                    max_tokens_per_batch=1_000)  # fmt: skip
    assert base.what_decides(here) == base.what_decides(moved)
    assert options(folder, dtype="bfloat16") != here
    tiny_model.model(seed=2).save_pretrained(folder)
    retrained = options(folder)
    assert base.what_decides(retrained) != base.what_decides(here)
    assert {key for key in here if here[key] != retrained[key]} == {"revision"}
