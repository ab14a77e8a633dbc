"""Reject arguments of a wrong type before anything is done, and say which one it is.

A notebook has no type checker, and `api.status(5)` should not end deep inside of the program.
"""

import dataclasses
import enum
import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

from pipeline.errors import InputError

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_LONGEST_VALUE = 60


class WrongTypeError(InputError, TypeError):
    """An argument, or a field of a settings value, has a wrong type."""


def check_argument_types(
    function: Callable[_Parameters, _Result],
) -> Callable[_Parameters, _Result]:
    """Return a function that checks the types of its arguments, as they are annotated.

    The fields of settings are checked too. A function so decorated raises WrongTypeError.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        for name, value, annotation in _bound(signature, args, kwargs):
            for problem in _problems(name, value, annotation):
                raise WrongTypeError(f"{function.__name__}: {problem}")
        return function(*args, **kwargs)

    return call


def _bound(
    signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """Yield the name, the value and the annotation of each argument.

    Nothing is yielded where the arguments do not fit: the call itself says it best.
    """
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return
    for name, value in bound.items():
        parameter = signature.parameters[name]
        several = parameter.kind is parameter.VAR_POSITIONAL
        for each in value if several else (value,):
            yield name, each, parameter.annotation


def _problems(name: str, value: object, annotation: object) -> Iterator[str]:
    """Yield what is wrong with a value or its fields."""
    if not _fits(value, annotation):
        yield f"{name} should be {_words(annotation)}, not {_shown(value)}"
    elif not _admits_path(annotation) and not _can_be_encoded(value):
        yield f"{name} should be text in UTF-8, not {_shown(value)}"
    elif _is_settings(value):
        assert dataclasses.is_dataclass(value)
        kinds = inspect.get_annotations(type(value), eval_str=True)
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            yield from _problems(f"{name}.{field.name}", inner, kinds[field.name])


def _admits_path(kind: object) -> bool:
    """Tell whether a value may be a path, which on Linux holds any bytes."""
    if isinstance(kind, type) and issubclass(kind, os.PathLike):
        return True
    kinds = (typing.get_origin(kind), *typing.get_args(kind))
    return any(_admits_path(each) for each in kinds if each is not None and each is not kind)


def _can_be_encoded(value: object) -> bool:
    """Tell whether a text, or each text of a list, has no byte of a shell that is not UTF-8.

    The file system takes such a text, and no database does.
    """
    try:
        for text in (value,) if isinstance(value, str) else _listed(value):
            str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(value: object) -> Iterator[str]:
    each = value if isinstance(value, Sequence | frozenset) else ()
    return (text for text in each if isinstance(text, str))


def _is_settings(value: object) -> bool:
    """Tell whether a value is made by callers: every field of it has a plain type."""
    # Results hold runs, and a run is found and read by this program.
    return dataclasses.is_dataclass(value) and not hasattr(value, "run") and not _is_run(value)


def _is_run(value: object) -> bool:
    return hasattr(value, "manifest")


def _fits(value: object, kind: object) -> bool:
    """Tell whether a value has a type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is None or kind is types.NoneType:
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return value in inner
    if origin is not None:
        return _fits_generic(value, origin, inner)
    if not isinstance(kind, type):  # a forward reference: the function itself looks closer
        return True
    if getattr(kind, "_is_protocol", False) and not isinstance(value, type):
        return all(hasattr(value, name) for name in _members(kind))
    return _is_instance(value, kind)


def _fits_generic(value: object, origin: object, inner: tuple[object, ...]) -> bool:
    """Tell whether a value is of a type with parameters, such as `Sequence[str]`."""
    assert isinstance(origin, type)
    if origin.__name__ == "Callable":
        return callable(value)
    if not isinstance(value, origin) or isinstance(value, str | bytes):
        return isinstance(value, origin) and origin.__name__ == "PathLike"
    if isinstance(value, Mapping):
        return all(_fits(key, inner[0]) for key in value)  # whoever reads it names a wrong value
    if isinstance(value, Sequence | frozenset):
        return all(_fits(each, inner[0]) for each in value)
    return True


def _is_instance(value: object, kind: type) -> bool:
    """Tell whether a value is of a class. True and False are no numbers; whole numbers are."""
    if isinstance(value, bool):
        return kind in (bool, object)
    return isinstance(value, (float, int) if kind is float else kind)


def _members(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


_NAMED: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
}


def _words(kind: object) -> str:
    """Return a type in words."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is None or kind is types.NoneType:
        return "None"
    if origin in (typing.Union, types.UnionType):
        *others, last = dict.fromkeys(map(_words, inner))
        return f"{', '.join(others)} or {last}" if others else last
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is not None:
        return _generic_words(origin, inner)
    if not isinstance(kind, type):
        return str(kind)
    if issubclass(kind, enum.Enum):
        return f"{kind.__name__}, such as api.{kind.__name__}.{next(iter(kind)).name}"
    if kind in _NAMED:
        return _NAMED[kind]
    if getattr(kind, "_is_protocol", False):
        return "a result about one"
    return f"a {kind.__name__}"


def _generic_words(origin: object, inner: tuple[object, ...]) -> str:
    assert isinstance(origin, type)
    match origin.__name__:
        case "Callable":
            return "a function"
        case "PathLike":
            return "a path"
        case "Mapping":
            return "a mapping"
        case "tuple":
            return f"a tuple ({_words(inner[0])} each)"
    return f"a list ({_words(inner[0])} each)"


def _shown(value: object) -> str:
    text = repr(value)
    if len(text) > _LONGEST_VALUE:
        text = f"{text[:_LONGEST_VALUE]}…"
    return f"{text} ({type(value).__name__})"
