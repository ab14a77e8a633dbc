"""How much of a post a model reads, whatever its tokenizer says."""

import os
import shutil
from pathlib import Path

import pytest

from tests.pipeline.classifiers.classifier_setup import answers, posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")


from tests.pipeline.classifiers.transformers import tiny_model
from tests.pipeline.classifiers.transformers.loaded_model import TEXTS, load, probabilities


def test_a_long_post_is_truncated_and_says_so(toxic: Path) -> None:
    long = "a fine day " * 30
    found = answers(load(toxic), posts(long, "a fine day"))
    assert found[long].facts == {"was_truncated": True}
    assert found["a fine day"].facts == {"was_truncated": False}
    shortened = answers(load(toxic, max_length=8), posts("a fine day a fine", long))
    beginning = "a fine day a fine day"
    (plain,) = tiny_model.plain(toxic, [beginning])
    values = shortened[long].values
    assert values is not None
    assert list(values.values()) == pytest.approx(plain, abs=1e-5)
    assert shortened["a fine day a fine"].facts == {"was_truncated": False}


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "modernbert"])
def test_a_tokenizer_without_a_limit_gets_the_models(tmp_path: Path, kind: str) -> None:
    """RoBERTa never uses its first positions for a token; with one more token it would crash."""
    tiny_model.model(kind=kind, positions=40).save_pretrained(tmp_path)
    tiny_model.tokenizer(positions=0).save_pretrained(tmp_path)
    classifier = load(tmp_path)
    limit = 39 if kind == "xlm-roberta" else 40
    fits, cut = " ".join(["fine"] * (limit - 2)), " ".join(["fine"] * (limit - 1))
    found = answers(classifier, posts(fits, cut))
    assert found[fits].facts == {"was_truncated": False}
    assert found[cut].facts == {"was_truncated": True}
    assert found[fits].values == pytest.approx(found[cut].values, abs=1e-5)


def test_a_vocabulary_alone_is_enough_for_a_tokenizer(tmp_path: Path) -> None:
    """toxic-bert has no tokenizer.json; transformers makes one from vocab.txt."""
    folder = tiny_model.save(tmp_path / "new")
    old = Path(shutil.copytree(folder, tmp_path / "old"))
    (old / "tokenizer.json").unlink()
    (old / "vocab.txt").write_text("\n".join(tiny_model.VOCABULARY) + "\n")
    (old / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 64}')
    texts = [text for text in TEXTS if "🦋" not in text]
    expected = probabilities(load(folder), texts)
    assert probabilities(load(old), texts) == [pytest.approx(row, abs=1e-5) for row in expected]
