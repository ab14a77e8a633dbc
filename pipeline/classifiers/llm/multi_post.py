"""Put several posts in one prompt, joined by id, so that an answer that miscounts shifts no label.

The ids mean nothing, and the author of a post who has not read the prompt and the labels cannot
know them, so no post can speak for another. They are the same in every request of a run, because
servers cache compiled schemas. A post whose id is missing, appears twice or has an invalid value is
not among the results of `read_answers`, and must be sent alone.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.classifiers.llm import answer_text, labels
from pipeline.classifiers.llm.answer_problems import InvalidAnswer
from pipeline.classifiers.llm.labels import Label
from pipeline.model import JsonObject, LabelValue, Post

# Without vowels there are no words; without l, 0 and 1 nothing is easily copied wrong.
_LETTERS, _SIGNS = "bcdfghjkmnpqrstvwxz", "bcdfghjkmnpqrstvwxz23456789"
_ID_LENGTH = 4


def group_posts(posts: Iterable[Post], size: int) -> Iterator[tuple[Post, ...]]:
    """Yield `posts` in groups, taking each post only when its group is needed."""
    remaining = iter(posts)
    while group := tuple(itertools.islice(remaining, size)):
        yield group


def make_ids(count: int, *, prompt: str) -> tuple[str, ...]:
    """Return `count` different ids for a prompt; a smaller count gives the first of them."""
    ids: dict[str, None] = {}
    for number in itertools.count():
        if len(ids) == count:
            return tuple(ids)
        digest = hashlib.sha256(json.dumps([prompt, number]).encode()).digest()
        signs = [_SIGNS[byte % len(_SIGNS)] for byte in digest[1:_ID_LENGTH]]
        ids[_LETTERS[digest[0] % len(_LETTERS)] + "".join(signs)] = None
    raise AssertionError("unreachable")


def user_content(posts: Mapping[str, Post]) -> JsonObject:
    """Return what is sent about posts by id; as JSON, in which no post can end its quotes."""
    return {"posts": [{"id": id_, "post": post.text} for id_, post in posts.items()]}


def schema(ids: Sequence[str], declared: tuple[Label, ...]) -> JsonObject:
    """Return the JSON schema of an answer about the posts with these ids."""
    labels_schema = labels.schema(declared)
    return {
        "type": "object",
        "properties": dict.fromkeys(ids, labels_schema),
        "required": list(ids),
        "additionalProperties": False,
    }


def instructions(declared: tuple[Label, ...]) -> str:
    """Return the end of the prompt, which replaces `labels.instructions`."""
    return (
        "You get several posts, each with an id. Label each by itself, whatever the others say. "
        "Answer with one JSON object and nothing else. Its keys are the ids, each once; the value "
        "of each is a JSON object about that post. Its keys:\n" + labels.describe(declared)
    )


def read_answers(
    content: str, ids: Iterable[str], declared: tuple[Label, ...]
) -> dict[str, dict[str, LabelValue]]:
    """Return the label values by id, of those posts whose values are valid.

    Raises:
        InvalidAnswer: the answer is not a JSON object.
    """
    answers = answer_text.read_object(content)
    values: dict[str, dict[str, LabelValue]] = {}
    for id_ in ids:
        answer = answers.get(id_)
        if isinstance(answer, Mapping):
            try:
                values[id_] = labels.label_values(answer, declared, content)
            except InvalidAnswer:
                continue
    return values
