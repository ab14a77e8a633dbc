"""Declare the keys of `classifier: {type: guard}`."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, field
from msgspec.structs import force_setattr

from pipeline.classifiers.guard.words import WordValue, check_words
from pipeline.classifiers.llm.endpoint.options import (
    DEFAULT_TOP_LOGPROBS,
    EndpointOptions,
    FieldName,
    RequestFields,
    Temperature,
    TopLogprobs,
)
from pipeline.classifiers.llm.labels import MODEL_COLUMN
from pipeline.classifiers.llm.request_fields import RESERVED as RESERVED_FIELDS
from pipeline.config.keys import Positive, Section, Text, Wrong, key, label_key, one_of
from pipeline.model import RESERVED, Column, ColumnKind
from pipeline.usage import COLUMNS

CATEGORIES = "categories"
_TEMPLATE = "is what the program sends: classifier.messages or classifier.prompt, with the post"
_WORDS = "cannot be set, because classifier.words says what an answer may be"
_ONE_ANSWER = "cannot be set, because one answer is read"
_RESERVED_FIELDS: Mapping[str, str] = {
    **RESERVED_FIELDS,
    **dict.fromkeys(("messages", "prompt", "suffix"), _TEMPLATE),
    **dict.fromkeys(("response_format", "structured_outputs"), _WORDS),
    **dict.fromkeys(("n", "best_of", "echo"), _ONE_ANSWER),
}
_KINDS = {bool: ColumnKind.FLAG, float: ColumnKind.NUMBER, str: ColumnKind.TEXT}


class Message(Section, frozen=True, kw_only=True):
    """One message of a chat, as text or in a file."""

    role: Annotated[
        Annotated[str, one_of(("system", "user", "assistant"))], label_key("Who sends it.")
    ]
    content: Annotated[
        Text | None,
        label_key("Its text.", default="none: give it or `file`", omit_default=True),
    ] = None
    file: Annotated[
        Text | None,
        label_key(
            "File with its text. The run keeps the text, without a newline at the end.",
            default="none",
            omit_default=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Reject a message without a text, or with two."""
        if (self.content is None) == (self.file is None):
            raise Wrong("content", "give either content or file, and not both")


class AskedLabel(Section, frozen=True, kw_only=True):
    """A label, and the question that the model answers for it."""

    label: Annotated[Text, label_key("Name of the label's column, in lower case.")]
    question: Annotated[Text, label_key("What replaces `{question}` in the template.")]


class GuardOptions(EndpointOptions, frozen=True, kw_only=True):
    """A guard model behind an OpenAI-compatible server, asked with the template of its training."""

    prompt: Annotated[
        Text | None,
        label_key(
            "File with the template of a plain completion. The run keeps its text, without a "
            "newline at the end.",
            default="none: give it or `messages`",
            omit_default=True,
        ),
    ] = None
    messages: Annotated[
        tuple[Message, ...],
        label_key(
            "The template as messages of a chat, which the server puts into the model's own chat "
            "template. The post replaces `{text}`.",
            default="none",
            omit_default=True,
        ),
    ] = ()
    allow_placeholders: Annotated[
        bool,
        key(
            "Send what looks like another placeholder (`{policy}`) in the template unchanged, "
            "instead of rejecting it.",
            omit_default=True,
        ),
    ] = False
    label: Annotated[
        Text | None,
        label_key(
            "Name of the label's column, in lower case; its probability is in `prob_<label>`.",
            default="none: give it or `questions`",
            omit_default=True,
        ),
    ] = None
    questions: Annotated[
        tuple[AskedLabel, ...],
        label_key(
            "Several labels, each with its question, in place of `label`. Each question costs one "
            "request per post.",
            default="none",
            omit_default=True,
        ),
    ] = ()
    words: Annotated[
        Mapping[FieldName, WordValue],
        Meta(min_length=2),
        label_key(
            "The words that an answer may begin with, and what each stands for: true or false, a "
            "category or a number, such as `{unsafe: true, safe: false}`."
        ),
    ]
    answer_prefix: Annotated[
        str,
        label_key(
            "What an answer says before the word, such as `Safety:`.",
            default="nothing",
            omit_default=True,
        ),
    ] = ""
    categories: Annotated[
        bool,
        label_key(
            "Also keep the line after the word, in which some models list categories, in the "
            "column `categories`.",
            omit_default=True,
        ),
    ] = False
    scores: Annotated[
        bool,
        label_key(
            "Record the probability of each label, from the server's logprobs. A server without "
            "logprobs ends the run before its first post."
        ),
    ] = True
    top_logprobs: TopLogprobs = None
    temperature: Temperature = 0.0
    max_tokens: Annotated[Positive, label_key("Most tokens of an answer.")] = 10
    request: RequestFields = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject keys that contradict one another, and remove the slash after the address."""
        super().__post_init__()
        if (self.prompt is None) == (not self.messages):
            raise Wrong("prompt", "give either prompt or messages, and not both")
        if (self.label is None) == (not self.questions):
            raise Wrong("label", "give either label or questions, one of them")
        if self.categories and self.questions:
            raise Wrong("categories", "belongs to one label: give label instead of questions")
        check_words(self.words)
        self._check_columns()
        if self.scores:
            force_setattr(self, "top_logprobs", self.top_logprobs or DEFAULT_TOP_LOGPROBS)
        elif self.top_logprobs is not None:
            raise Wrong("top_logprobs", "has no effect without scores: true")

    def _check_columns(self) -> None:
        taken = RESERVED | {MODEL_COLUMN, *(column.name for column in COLUMNS)}
        taken |= {CATEGORIES} if self.categories else set()
        for number, asked in enumerate(self.asked):
            path = f"questions[{number}].label" if self.questions else "label"
            name = asked.label
            if not name.isidentifier() or name.lower() != name:
                raise Wrong(path, f"should be a lower-case column name, not {name!r}")
            for column in self.columns_of(name):
                if column.name in taken:
                    raise Wrong(path, f"there is another column {column.name!r}")
                taken |= {column.name}

    @property
    def request_fields(self) -> Mapping[str, object]:
        """What the configuration adds to every request."""
        return self.request

    @property
    def reserved_fields(self) -> Mapping[str, str]:
        """The fields that it must not add, and why."""
        return _RESERVED_FIELDS

    @property
    def asked(self) -> tuple[AskedLabel, ...]:
        """The labels with their questions; the question is not used where there is only a label."""
        return self.questions or (AskedLabel(label=self.label or "", question="-"),)

    @property
    def template(self) -> tuple[str, ...]:
        """The parts of the frozen template."""
        if self.prompt is not None:
            return (self.prompt,)
        return tuple(message.content or "" for message in self.messages)

    @property
    def is_graded(self) -> bool:
        """Whether words stand for categories or numbers, and not for true or false."""
        return not all(isinstance(value, bool) for value in self.words.values())

    def columns_of(self, label: str) -> tuple[Column, ...]:
        """Return the columns of one label: its value and, with scores, its probabilities."""
        (kind, *_) = (_KINDS[type(value)] for value in self.words.values())
        columns = [Column(label, kind)]
        if self.scores:
            columns.append(Column(f"prob_{label}", ColumnKind.NUMBER))
        if self.scores and self.is_graded:
            columns.append(Column(f"probs_{label}", ColumnKind.TEXT))
        return tuple(columns)
