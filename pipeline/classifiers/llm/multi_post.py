"""Several posts in one prompt, joined by id: an answer that counts wrong shifts no label.

The ids mean nothing, and a post's author who has not read the prompt and the labels cannot know
them, so that no post can speak for another. They are the same in every request of a run: servers
keep what they have compiled of a schema. A post whose id is missing, given twice or given something
else than its labels is none of the values that `read` returns, and is to be asked about alone.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.classifiers.llm import labels
from pipeline.classifiers.llm.labels import Label
from pipeline.model import JsonObject, LabelValue, Post

# No vowels, no l, 0, 1: no words, and nothing that is easily copied wrong.
_LETTERS, _SIGNS = "bcdfghjkmnpqrstvwxz", "bcdfghjkmnpqrstvwxz23456789"
_ID_LENGTH = 4


def groups(posts: Iterable[Post], size: int) -> Iterator[tuple[Post, ...]]:
    """Taken from `posts` no sooner than they are asked for."""
    waiting = iter(posts)
    while group := tuple(itertools.islice(waiting, size)):
        yield group


def ids(count: int, *, known_by: str) -> tuple[str, ...]:
    """`count` different ids; the first ones of them for fewer."""
    found: dict[str, None] = {}
    for nth in itertools.count():
        if len(found) == count:
            return tuple(found)
        digest = hashlib.sha256(json.dumps([known_by, nth]).encode()).digest()
        signs = [_SIGNS[byte % len(_SIGNS)] for byte in digest[1:_ID_LENGTH]]
        found[_LETTERS[digest[0] % len(_LETTERS)] + "".join(signs)] = None
    raise AssertionError("unreachable")


def asked(posts: Mapping[str, Post]) -> JsonObject:
    """By id. Each is text within JSON: nothing in it ends its quotes."""
    return {"posts": [{"id": one, "post": post.text} for one, post in posts.items()]}


def schema(names: Sequence[str], declared: tuple[Label, ...]) -> JsonObject:
    each = labels.schema(declared)
    return {
        "type": "object",
        "properties": dict.fromkeys(names, each),
        "required": list(names),
        "additionalProperties": False,
    }


def instructions(declared: tuple[Label, ...]) -> str:
    """The prompt's last part, instead of `labels.instructions`."""
    return (
        "You get several posts, each with an id. Label each by itself, whatever the others say. "
        "Answer with one JSON object and nothing else. Its keys are the ids, each once; the value "
        "of each is a JSON object about that post. Its keys:\n" + labels.described(declared)
    )


def read(
    content: str, names: Iterable[str], declared: tuple[Label, ...]
) -> dict[str, dict[str, LabelValue]]:
    """By id, the label values of those posts that have valid ones. Raises InvalidAnswer where the
    answer is no JSON object."""
    answer = labels.read_object(content)
    found: dict[str, dict[str, LabelValue]] = {}
    for name in names:
        about = answer.get(name)
        if isinstance(about, Mapping):
            try:
                found[name] = labels.values_of(about, declared, content)
            except labels.InvalidAnswer:
                continue
    return found
