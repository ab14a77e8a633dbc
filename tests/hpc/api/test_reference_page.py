"""The reference page says what the code does."""

import dataclasses
import inspect
import re

from hpc import api
from hpc.api.reference_page import reference_page
from tests.docs.pages import read

PAGE = "docs/reference/python.md"


def test_the_page_is_made_from_the_code() -> None:
    assert read(PAGE).text == reference_page(), "run: bash .ci/generate"


def test_every_function_and_value_is_on_the_page() -> None:
    listed = set(re.findall(r"^### (\w+)$", reference_page(), re.MULTILINE))
    described = {
        name
        for name in api.__all__
        if inspect.isfunction(getattr(api, name)) or dataclasses.is_dataclass(getattr(api, name))
    }
    assert described - listed == {"Run"}


def test_every_argument_is_described() -> None:
    for name in api.__all__:
        function = getattr(api, name)
        if inspect.isfunction(function):
            documentation = inspect.getdoc(function) or ""
            if other := re.search(r"Arguments and errors are those of `(\w+)`", documentation):
                described = set(inspect.signature(getattr(api, other[1])).parameters)
            else:
                described = set(re.findall(r"^    (\w+): ", documentation, re.MULTILINE))
            assert set(inspect.signature(function).parameters) <= described, name
