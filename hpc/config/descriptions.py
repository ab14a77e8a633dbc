"""Describe the configuration for editors and for people, from its declarations."""

import inspect
from collections.abc import Iterable
from typing import Any

from hpc.config.run_config import ConfigurationFile
from hpc.run.cluster.resources import ClusterTemplate
from pipeline.classifiers import registry
from pipeline.classifiers.options import Options
from pipeline.config.keys import keys_of
from pipeline.config.reference import describe_keys, describe_section
from pipeline.config.schema import json_schema

_INTRODUCTION = """\
# Configuration

<!-- Made by `hpc schema --reference`; change the declarations in the code instead. -->

A configuration is a YAML file.
[Configure a run](../how-to/configure.md) explains how to write one, and what an edit means.

A key that is unknown, missing, mistyped, or given twice is rejected, with its path and the \
nearest name.
A key without a value has its default.
"changes labels" says whether runs that differ in this key need different names.
Paths of inputs are tried from the configuration's folder, then from the working folder.

`hpc schema` prints the same as a JSON Schema.
The files in `configs/` name it in their first line: editors with a YAML language server then \
complete and check keys.
"""
_CLASSIFIER = """\
## `classifier`

The key `type` says which classifier labels the posts: {kinds}, or one that \
[a package adds](classifiers.md).
Its other keys are those of the classifier, and for all of them:
"""


def configuration_schema(kinds: Iterable[str]) -> dict[str, Any]:
    """Return the JSON Schema of a configuration with these classifiers."""
    options = {kind: registry.load(kind).options_type for kind in kinds}
    return json_schema(ConfigurationFile, options, at="classifier")


def template_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file in `slurm_templates/`."""
    return json_schema(ClusterTemplate, {})


def reference_page(kinds: Iterable[str]) -> str:
    """Return the reference page of the configuration, in Markdown."""
    kinds = list(kinds)
    listed = ", ".join(f"`{kind}`" for kind in kinds)
    lines = [
        _INTRODUCTION,
        *describe_section(ConfigurationFile),
        _CLASSIFIER.format(kinds=listed),
        *describe_keys(list(keys_of(Options).values())),
        "",
    ]
    for kind in kinds:
        lines += _describe_classifier(kind)
    return "\n".join(lines).rstrip() + "\n"


def _describe_classifier(kind: str) -> list[str]:
    options = registry.load(kind).options_type
    own = [
        key
        for name, key in keys_of(options).items()
        if name not in keys_of(Options) and not key.facts.recorded
    ]
    lines = [f"### {kind}", "", " ".join((inspect.getdoc(options) or "").split()), ""]
    if not own:
        return [*lines, "It has no keys of its own.", ""]
    return [*lines, *describe_keys(own), "", *_sections_of(kind)]


def _sections_of(kind: str) -> list[str]:
    """Describe the sections in a classifier's keys."""
    lines = list(describe_section(registry.load(kind).options_type, "classifier", level=4))
    first = next((i for i, line in enumerate(lines) if i and line.startswith("#### ")), None)
    return [] if first is None else lines[first:]
