"""An argument of a wrong type or size is named, and nothing is done."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpc import api
from tests.hpc.api.conftest import CONFIG

FUNCTIONS = {
    name: getattr(api, name) for name in api.__all__ if inspect.isfunction(getattr(api, name))
}
SETTINGS: dict[str, tuple[type, dict[str, Any]]] = {
    "Place": (api.Place, {}),
    "Selection": (api.Selection, {}),
    "LabelQuery": (api.LabelQuery, {}),
    "SampleSettings": (api.SampleSettings, {}),
    "CompareSettings": (api.CompareSettings, {}),
    "ResubmitSettings": (api.ResubmitSettings, {}),
    "GoldSettings": (api.GoldSettings, {}),
    "TrySettings": (api.TrySettings, {}),
    "AdoptSettings": (api.AdoptSettings, {}),
    "EstimatorQuery": (api.EstimatorQuery, {"purpose": "dsl", "gold": "gold"}),
}
REQUIRED: dict[str, dict[str, Any]] = {
    "submit": {"config": CONFIG}, "preview": {"config": CONFIG}, "audit": {"config": CONFIG},
    "explain_post": {"config": CONFIG, "uri": "at://a"},
    "plan": {"config": CONFIG}, "adopt": {"folder": "answers"},
    "check": {"config": CONFIG}, "try_posts": {"configs": CONFIG},
    "export": {"name": "valence", "to": "a.csv"},
    "export_for_estimator": {
        "name": "valence", "to": "a.csv", "query": api.EstimatorQuery(purpose="dsl", gold="gold"),
    },
    "sample": {"name": "valence", "to": "a.csv", "size": 5},
    "gold": {"files": "a.csv", "name": "gold"},
}  # fmt: skip


def arguments() -> Iterator[tuple[str, str]]:
    for name, function in FUNCTIONS.items():
        yield from ((name, parameter) for parameter in inspect.signature(function).parameters)


def call(name: str, parameter: str, value: object) -> object:
    function = FUNCTIONS[name]
    kind = inspect.signature(function).parameters[parameter].kind
    if kind is inspect.Parameter.VAR_POSITIONAL:
        return function(value)
    return function(**{**REQUIRED.get(name, {}), parameter: value})


@pytest.mark.parametrize(("name", "parameter"), list(arguments()))
def test_each_argument_of_a_wrong_type_is_named(project: Path, name: str, parameter: str) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(api.InputError) as caught:
        call(name, parameter, object())
    assert isinstance(caught.value, TypeError)
    assert str(caught.value).startswith(f"{name}: {parameter} should be ")
    assert sorted(project.rglob("*")) == before


def fields() -> Iterator[tuple[str, str, str, str]]:
    """Yield a function, its argument, the class of its value, and a field of that."""
    for name, function in FUNCTIONS.items():
        for parameter in inspect.signature(function).parameters.values():
            kind = getattr(parameter.annotation, "__name__", "")
            if kind in SETTINGS:
                yield from (
                    (name, parameter.name, kind, field.name)
                    for field in dataclasses.fields(SETTINGS[kind][0])
                )


@pytest.mark.parametrize(("name", "parameter", "kind", "field"), list(fields()))
def test_each_field_of_a_wrong_type_is_named(
    project: Path, name: str, parameter: str, kind: str, field: str
) -> None:
    settings, values = SETTINGS[kind]
    with pytest.raises(api.InputError) as caught:
        call(name, parameter, settings(**{**values, field: object()}))
    assert str(caught.value).startswith(f"{name}: {parameter}.{field} should be ")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (
            lambda: api.status(5),  # type: ignore[arg-type]
            "status: run should be a Run, a result about one, a text, a path or None, not 5 (int)",
        ),
        (
            lambda: api.sample("valence", "a.csv", "5"),  # type: ignore[arg-type]
            "sample: size should be a whole number, not '5' (str)",
        ),
        (
            lambda: api.sample("valence", "a.csv", True),
            "sample: size should be a whole number, not True (bool)",
        ),
        (
            lambda: api.compare("a", "b", settings=api.CompareSettings(bins="odd")),  # type: ignore[arg-type]
            "compare: settings.bins should be 'uniform' or 'quantile', not 'odd' (str)",
        ),
        (
            lambda: api.compare("a", "b", settings=api.CompareSettings(maps="a=b")),
            "compare: settings.maps should be a list (a text each), not 'a=b' (str)",
        ),
        (
            lambda: api.sample("a", "a.csv", 5, settings=api.SampleSettings(allocate="equal")),  # type: ignore[arg-type]
            "sample: settings.allocate should be Allocation, such as api.Allocation.PROPORTIONAL, "
            "not 'equal' (str)",
        ),
        (
            lambda: api.logs(indices=["1"]),  # type: ignore[list-item]
            "logs: indices should be a list (a whole number each) or None, not ['1'] (list)",
        ),
        (
            lambda: api.submit(
                CONFIG, selection=api.Selection(sample=api.DrawRequest(size="5", seed=1))
            ),  # type: ignore[arg-type]
            "submit: selection.sample.size should be a whole number, not '5' (str)",
        ),
    ],
)
def test_the_words_for_a_wrong_type(project: Path, act: Callable[[], object], words: str) -> None:
    with pytest.raises(TypeError) as caught:
        act()
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "act",
    [
        lambda: api.submit(CONFIG, selection=api.Selection(limit=0)),
        lambda: api.submit(CONFIG, selection=api.Selection(canary=api.Canary(posts=0))),
        lambda: api.submit(CONFIG, selection=api.Selection(sample=api.DrawRequest(size=0, seed=1))),
        lambda: api.submit(
            CONFIG, selection=api.Selection(sample=api.DrawRequest(size=5, seed=-1))
        ),
        lambda: api.sample("valence", "a.csv", 0),
        lambda: api.sample("valence", "a.csv", 5, settings=api.SampleSettings(seed=-1)),
        lambda: api.sample("valence", "a.csv", 5, settings=api.SampleSettings(coders=0)),
        lambda: api.compare("a", "b", settings=api.CompareSettings(resamples=0)),
        lambda: api.resubmit(settings=api.ResubmitSettings(mem_gb=0)),
        lambda: api.resubmit(settings=api.ResubmitSettings(time=0)),
        lambda: api.resubmit(settings=api.ResubmitSettings(time="soon")),
        lambda: api.resubmit(settings=api.ResubmitSettings(indices=[-1])),
        lambda: api.check(CONFIG, patience_s=0),
        lambda: api.clean(older_than_days=0),
        lambda: api.ls(most=0),
        lambda: api.logs(lines=0),
        lambda: api.try_posts(CONFIG, settings=api.TrySettings(posts=201)),
        lambda: api.try_posts(CONFIG, settings=api.TrySettings(posts=0)),
    ],
)
def test_a_number_out_of_range_is_rejected(project: Path, act: Callable[[], object]) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(api.InputError):
        act()
    assert sorted(project.rglob("*")) == before


def test_a_call_that_does_not_fit_is_an_error_of_python(project: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'rnu'"):
        api.status(rnu="a")  # type: ignore[call-arg]


def test_a_result_without_a_run_is_no_run(project: Path) -> None:
    class Thing:
        run = 5

    with pytest.raises(api.InputError):
        api.status(Thing())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("explain_post", "uri", "at://\udcff"),
        ("export", "query", api.LabelQuery(where="text = '\udcff'")),
        ("export", "query", api.LabelQuery(columns=("\udcff",))),
    ],
)
def test_a_text_of_bytes_that_are_not_utf8_is_named(
    project: Path, name: str, parameter: str, value: object
) -> None:
    with pytest.raises(api.InputError, match=rf"^{name}: {parameter}.* should be text in UTF-8"):
        call(name, parameter, value)


def test_a_path_may_have_bytes_that_are_not_utf8(project: Path) -> None:
    with pytest.raises(api.InputError, match=r"^the configuration .* cannot be read: No such file"):
        call("audit", "config", "\udcff.yaml")
