"""Ask which classifier labels the posts, and what it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hpc.coding.codebook import CodedKind, CodedLabel, parse_labels
from hpc.initialize.example_prompt import EXAMPLE_LABELS, example_prompt
from hpc.initialize.files.names import prompt_name
from hpc.initialize.given import Given
from hpc.initialize.models import (
    DEFAULT_MODELS,
    MODERATION_SERVICES,
    guard_values,
    llm_request,
    transformers_values,
)
from hpc.initialize.questions import checks
from hpc.initialize.questions.ask_key import KeyPlace
from hpc.initialize.questions.ask_server import ask_address, ask_model, ask_server
from hpc.initialize.questions.classifier_interview import ClassifierInterview
from hpc.initialize.questions.question import Answerer, InvalidAnswer, Option, Question
from hpc.initialize.site import Site
from hpc.run.model.run import Say
from pipeline.classifiers import registry
from pipeline.classifiers.perspective.options import API_KEY_ENV
from pipeline.errors import InputError
from pipeline.run_files.manifest import EXTERNAL
from pipeline.text import did_you_mean

_PERSPECTIVE_ATTRIBUTES = (
    *("TOXICITY", "SEVERE_TOXICITY", "IDENTITY_ATTACK", "INSULT", "PROFANITY", "THREAT"),
)
_NOTES = {
    "perspective": "the Perspective API, or a service with the same JSON; it ends on 31 Dec 2026",
    "llm": "your own labels, by any OpenAI-compatible LLM server",
    "guard": "a guard model such as Llama Guard, behind an OpenAI-compatible server",
    "moderation": "the moderation endpoint of OpenAI or Mistral",
    "transformers": "a model that runs in the task, such as toxic-bert",
    "valence": "VADER sentiment; needs no key and no network",
}
_ROWS_PER_SHARD = {"llm": 5_000, "guard": 5_000, "transformers": 100_000}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierAnswers:
    """A classifier, and the keys that it needs."""

    kind: str
    values: Mapping[str, object]
    """Its keys in the configuration, without `type`."""
    key: KeyPlace
    rows_per_shard: int | None
    """Posts of one shard; None for the default."""
    prompt: str | None = None
    """The text of the prompt's file; None if it needs none."""
    first_steps: tuple[str, ...] = ()
    """Commands that a person types before anything else."""


def ask_kind(answerer: Answerer, given: Given) -> str | None:
    """Return which classifier labels the posts; None if that is missing."""
    # What another engine gives is declared by hand.
    installed = [kind for kind in registry.list_installed() if kind != EXTERNAL]
    kinds = [kind for kind in _NOTES if kind in installed]
    kinds += [kind for kind in installed if kind not in kinds]

    def check(answer: str) -> str:
        if answer not in kinds:
            raise InvalidAnswer(
                f"should be one of {', '.join(kinds)}, not {answer!r}{did_you_mean(answer, kinds)}"
            )
        return answer

    question = Question(
        flag="--classifier",
        text="Which classifier labels the posts?",
        missing="a classifier",
        default="valence",
        why="valence is the quickest way to see that everything works",
        options=tuple(Option(value=kind, note=_NOTES.get(kind, "")) for kind in kinds),
        check=check,
    )
    return answerer.ask(question, given.classifier)


def ask_classifier(
    answerer: Answerer, given: Given, site: Site, kind: str, name: str, say: Say
) -> ClassifierAnswers | None:
    """Return the keys that a classifier needs; None if an answer is missing.

    Args:
        answerer: answers.
        given: the options.
        site: what the shell says.
        kind: the classifier.
        name: the name of the labels.
        say: prints what was found out meanwhile.
    """
    asking = _ASKING.get(kind)
    if asking is None:
        return ClassifierAnswers(kind=kind, values={}, key=KeyPlace(), rows_per_shard=None)
    return asking(
        ClassifierInterview(answerer=answerer, given=given, site=site, name=name, say=say)
    )


def _ask_valence(interview: ClassifierInterview) -> ClassifierAnswers | None:
    del interview
    return ClassifierAnswers(kind="valence", values={}, key=KeyPlace(), rows_per_shard=None)


def _ask_perspective(interview: ClassifierInterview) -> ClassifierAnswers | None:
    key = interview.key(API_KEY_ENV, is_needed=True)
    quota = interview.quota("60", "it is Google's default for a project")
    if key is None or quota is None:
        return None
    values: dict[str, object] = {"attributes": _PERSPECTIVE_ATTRIBUTES}
    if interview.given.base_url is not None:
        address = ask_address(interview, None, "")
        if address is None:
            return None
        values["base_url"] = address
    values |= {**key.values, "requests_per_minute": int(quota)}
    return ClassifierAnswers(kind="perspective", values=values, key=key, rows_per_shard=None)


def _ask_moderation(interview: ClassifierInterview) -> ClassifierAnswers | None:
    openai = MODERATION_SERVICES["openai"]
    address = ask_address(interview, openai.base_url, "it is OpenAI's")
    if address is None:
        return None
    service = next(
        (each for each in MODERATION_SERVICES.values() if each.base_url == address), openai
    )
    model = ask_model(interview, service.model, "it is the version that does not change", ())
    key = interview.key(service.variable, is_needed=True)
    quota = interview.quota(
        str(service.requests_per_minute), "this is a usual limit; your account shows yours"
    )
    if model is None or key is None or quota is None:
        return None
    values = {
        "base_url": address,
        "model": model,
        "categories": service.categories,
        **key.values,
        "requests_per_minute": int(quota),
    }
    return ClassifierAnswers(kind="moderation", values=values, key=key, rows_per_shard=None)


def _ask_llm(interview: ClassifierInterview) -> ClassifierAnswers | None:
    server = ask_server(interview, "")
    labels = interview.ask(
        Question(
            flag="--labels",
            text="Which labels should the model give? An example is "
            "toxic:bool,ideology:left|right|unclear,score:number:0:1.",
            missing="the labels",
            default=EXAMPLE_LABELS,
            why="this is an example, with a prompt that you can edit",
            check=_check_labels,
        ),
        interview.given.labels,
    )
    if server is None or labels is None:
        return None
    coded = parse_labels(labels)
    values = {
        **server.values,
        **llm_request(server.model),
        "prompt": prompt_name(interview.name),
        "labels": tuple(_label_values(label) for label in coded),
    }
    return ClassifierAnswers(
        kind="llm",
        values=values,
        key=server.key,
        rows_per_shard=_ROWS_PER_SHARD["llm"],
        prompt=example_prompt(coded),
    )


def _check_labels(answer: str) -> str:
    try:
        labels = parse_labels(answer)
    except InputError as error:
        raise InvalidAnswer(str(error).removeprefix("--labels").lstrip(": ")) from None
    for label in labels:
        if label.name != label.name.lower():
            raise InvalidAnswer(f"{label.name!r} should be in lower case, because it is a column")
    return answer


def _label_values(label: CodedLabel) -> Mapping[str, object]:
    values: dict[str, object] = {"name": label.name, "type": str(label.kind)}
    if label.kind is CodedKind.INTEGER:
        values["type"] = str(CodedKind.NUMBER)
    if label.kind is CodedKind.CHOICE:
        values["choices"] = label.choices
    if label.least is not None and label.most is not None:
        values |= {"minimum": label.least, "maximum": label.most}
    return values


def _ask_guard(interview: ClassifierInterview) -> ClassifierAnswers | None:
    server = ask_server(interview, DEFAULT_MODELS["guard"])
    if server is None:
        return None
    return ClassifierAnswers(
        kind="guard",
        values={**server.values, **guard_values(server.model)},
        key=server.key,
        rows_per_shard=_ROWS_PER_SHARD["guard"],
    )


def _ask_transformers(interview: ClassifierInterview) -> ClassifierAnswers | None:
    usual = DEFAULT_MODELS["transformers"]
    model = interview.ask(
        Question(
            flag="--model",
            text="Which model? Give a folder, or a name on the Hugging Face hub.",
            missing="the name or the folder of the model",
            default=usual,
            why="it gives toxicity, with Perspective's column names",
            check=partial(_folder_or_name, interview.given),
        ),
        interview.given.model,
    )
    if model is None:
        return None
    known = transformers_values(model)
    revision: str | None = ""
    is_folder = _is_folder(model, interview.given)
    if not is_folder:
        pinned = str(known.get("revision", "")) or None
        revision = interview.ask(
            Question(
                flag="--revision",
                text="Which commit of the model? All labels of a name come from the same commit.",
                missing=f"the commit of {model} on the hub, as its page shows it",
                default=pinned,
                why="this program was tested with it" if pinned else "",
                check=checks.one_word,
            ),
            interview.given.revision,
        )
    if revision is None:
        return None
    values = {"model": model, **known, **({"revision": revision} if revision else {})}
    download = f"hf download {model} --revision {revision}"
    return ClassifierAnswers(
        kind="transformers",
        values=values,
        key=KeyPlace(),
        rows_per_shard=_ROWS_PER_SHARD["transformers"],
        first_steps=() if is_folder else (download,),
    )


def _is_folder(model: str, given: Given) -> bool:
    return (given.folder / Path(model).expanduser()).is_dir()


def _folder_or_name(given: Given, answer: str) -> str:
    """Return a folder as the configuration has it, and any other name as it is."""
    place = given.working_folder / Path(answer).expanduser()
    if place.is_dir() and not _is_folder(answer, given):
        return str(place)
    looks_like_path = answer.startswith(("/", "./", "../", "~"))
    if looks_like_path and not _is_folder(answer, given):
        raise InvalidAnswer(f"there is no folder {answer}")
    return answer


_ASKING: Mapping[str, Callable[[ClassifierInterview], ClassifierAnswers | None]] = {
    "valence": _ask_valence,
    "perspective": _ask_perspective,
    "moderation": _ask_moderation,
    "llm": _ask_llm,
    "guard": _ask_guard,
    "transformers": _ask_transformers,
}
