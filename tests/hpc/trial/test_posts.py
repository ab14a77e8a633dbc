"""The posts of a trial: random, the same for a seed, each text once."""

import hashlib
import random
from pathlib import Path

import pytest

from hpc.trial.posts import DrawRules, draw_posts
from pipeline.backlog.sources import find_source
from pipeline.config.sections import Backlog
from pipeline.errors import InputError
from pipeline.model import Post
from tests.pipeline.backlog.source_files import json_lines_file

TIME = "2024-05-31-13:00:00"


def draw(folder: Path, texts: dict[str, str], count: int, seed: int = 0) -> tuple[Post, ...]:
    rows = [(uri, text, TIME) for uri, text in texts.items()]
    random.Random(seed).shuffle(rows)
    json_lines_file(folder / "posts.jsonl", rows)
    source = find_source(Backlog(source="posts.jsonl"), (folder,))
    return draw_posts(source, DrawRules(count=count, seed=seed, min_text_length=5)).posts


def texts(count: int) -> dict[str, str]:
    return {f"at://{number}": f"text {number}" for number in range(count)}


def test_a_seed_draws_the_same_posts_and_more_of_them_contain_the_fewer(tmp_path: Path) -> None:
    few, again = draw(tmp_path, texts(400), 10), draw(tmp_path, texts(400), 10)
    more, other = draw(tmp_path, texts(400), 150), draw(tmp_path, texts(400), 10, seed=1)
    assert few == again == more[:10]
    assert len(set(more)) == 150
    assert set(few) != set(other)


def test_a_trial_does_not_use_up_the_sample_of_the_same_seed(tmp_path: Path) -> None:
    """`submit --sample` draws the posts whose SHA-256 over `<seed>:<uri>` is lowest."""
    uris = sorted(texts(400), key=lambda uri: hashlib.sha256(f"0:{uri}".encode()).hexdigest())
    drawn = {post.uri for post in draw(tmp_path, texts(400), 20)}
    assert len(drawn & set(uris[:20])) < 10


def test_each_text_is_drawn_once_and_what_is_not_sent_is_not_drawn(tmp_path: Path) -> None:
    backlog = {f"at://{number}": "the same text" for number in range(300)}
    backlog |= {"at://short": "abc", "at://blank": " \u200b \n  ", "at://other": "another text"}
    assert sorted(post.text for post in draw(tmp_path, backlog, 200)) == [
        "another text",
        "the same text",
    ]


def test_a_backlog_without_a_text_to_send_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        draw(tmp_path, {"at://1": "abc"}, 10)
