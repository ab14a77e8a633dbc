"""Ask which OpenAI-compatible server labels the posts, and with which model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc.initialize.questions.ask_key import KeyPlace
from hpc.initialize.questions.classifier_interview import ClassifierInterview
from hpc.initialize.questions.question import InvalidAnswer, Option, Question
from pipeline.classifiers.options import without_slash
from pipeline.config.keys import Wrong
from pipeline.config.secret import NO_KEY, Secret, read_key
from pipeline.errors import InputError
from pipeline.service.address import is_on_this_machine
from pipeline.service.list_models import NoModels, list_models
from pipeline.text import counted, did_you_mean

_PATIENCE_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server that labels posts, and how it is reached."""

    values: Mapping[str, object]
    """Its keys in the configuration."""
    model: str
    """The model, as the server knows it."""
    key: KeyPlace
    """Where its API key is kept."""


def ask_server(interview: ClassifierInterview, usual_model: str) -> Server | None:
    """Return the server that labels posts; None if an answer is missing.

    Args:
        interview: asks the questions.
        usual_model: the model to propose; '' for none.
    """
    address = ask_address(interview, interview.site.base_url or None, "OPENAI_BASE_URL has it")
    if address is None:
        # What depends on it is still checked, so that all that is missing is named at once.
        ask_model(interview, usual_model or None, "", ())
        return None
    is_hosted = address.startswith("https://") and not is_on_this_machine(address)
    key = interview.key("OPENAI_API_KEY", is_needed=is_hosted)
    if key is None:
        return None
    models = _models_of(interview, address, key)
    fitting = [model for model in models if model == usual_model] or list(models)
    default = fitting[0] if len(fitting) == 1 else None if models else usual_model or None
    why = "it is the server's only model" if len(models) == 1 else ""
    model = ask_model(interview, default, why, models)
    quota = (
        interview.quota("", "a server of your own has no limit")
        if is_hosted
        else _given_quota(interview)
    )
    if model is None or quota is None:
        return None
    values = {"base_url": address, "model": model, **key.values}
    if quota:
        values["requests_per_minute"] = int(quota)
    return Server(values=values, model=model, key=key)


def _given_quota(interview: ClassifierInterview) -> str | None:
    """Return the quota of the command line; a server of one's own is not asked about."""
    if interview.given.requests_per_minute is None:
        return ""
    return interview.quota("", "")


def ask_address(interview: ClassifierInterview, default: str | None, why: str) -> str | None:
    """Return the address of the service or server; None if it is missing."""
    return interview.ask(
        Question(
            flag="--base-url",
            text="What is the address of the server, as the server prints it? An example is "
            "http://localhost:8000/v1.",
            missing="the address of the server, such as http://localhost:8000/v1",
            default=default,
            why=why if default else "",
            check=_address,
        ),
        interview.given.base_url,
    )


def _address(answer: str) -> str:
    try:
        return without_slash(answer)
    except Wrong as wrong:
        raise InvalidAnswer(wrong.problem) from None


def _models_of(interview: ClassifierInterview, address: str, key: KeyPlace) -> tuple[str, ...]:
    """Return the models that a server lists; none if it cannot be asked from here."""
    try:
        models = list_models(address, _secret(key), seconds=_PATIENCE_S)
    except NoModels as reason:
        interview.say(f"{address} did not say which models it has: {reason}")
        return ()
    interview.say(f"{address} has {counted(len(models), 'model')}")
    return models


def _secret(key: KeyPlace) -> Secret:
    try:
        return read_key(key.env, str(Path(key.file).expanduser()) if key.file else None)
    except InputError:  # it is not there yet
        return NO_KEY


def ask_model(
    interview: ClassifierInterview, default: str | None, why: str, models: tuple[str, ...]
) -> str | None:
    """Return the model; None if it is missing. One of `models`, if the server lists any."""

    def check(answer: str) -> str:
        if models and answer not in models:
            raise InvalidAnswer(
                f"{answer!r} is not on this server{did_you_mean(answer, models)}; it has "
                f"{', '.join(models[:10])}"
            )
        return answer

    return interview.ask(
        Question(
            flag="--model",
            text="Which model? Give the name that the server uses for it.",
            missing="the name of the model",
            unproposed="the server has several models" if models and default is None else "",
            default=default,
            why=why if default else "",
            options=tuple(Option(value=model) for model in models),
            check=check,
        ),
        interview.given.model,
    )
