"""Load the configurations that are tried, and check that they can be tried together."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from hpc.config import run_config
from hpc.config.run_config import Config
from pipeline.backlog import sources
from pipeline.backlog.sources import Source
from pipeline.classifiers import registry
from pipeline.config.keys import fields_to_json
from pipeline.errors import InputError
from pipeline.messages.options import OVERRIDES, TRIAL_DATABASE
from pipeline.model import JsonObject
from pipeline.usage import CostOptions, cost_options

# The manifest's key for a server that a task starts for itself.
_SERVER = "server"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A configuration that is tried."""

    title: str
    """What reports call it: its name, or its file if another configuration has the same name."""

    file: Path
    config: Config
    classifier: JsonObject
    """The classifier's options as a manifest keeps them."""

    @property
    def cost_options(self) -> CostOptions:
        """What the classifier's options say about cost."""
        return cost_options(self.classifier)


def load_candidates(files: Sequence[Path], overrides: tuple[str, ...]) -> tuple[Candidate, ...]:
    """Read configurations, with the files that they name, and look for their API keys.

    Args:
        files: the configurations.
        overrides: `a.b=value`, for all of them.

    Raises:
        InputError: one of them is wrong, is there twice, or needs a server of its own.
    """
    for file in files:
        if [each.resolve() for each in files].count(file.resolve()) > 1:
            raise InputError(f"{file} is given twice: name each configuration once")
    configs = [run_config.load(file, overrides) for file in files]
    registry.skip_unused_pandas(config.classifier.kind for config in configs)
    names = [config.name for config in configs]
    candidates = []
    for file, config in zip(files, configs, strict=True):
        problems = config.new_problems()
        frozen = config.classifier.freeze(problems)
        problems.raise_any()
        candidate = Candidate(
            title=config.name if names.count(config.name) == 1 else str(file),
            file=file,
            config=config,
            # Through JSON, as a task gets it.
            classifier=json.loads(json.dumps(frozen.to_json())),
        )
        _reject_server(candidate)
        candidates.append(candidate)
    return tuple(candidates)


def find_posts_source(candidates: Sequence[Candidate]) -> Source:
    """Return the source that all configurations name.

    Raises:
        InputError: there is none, or two configurations name different posts.
    """
    first, *others = candidates
    source = _find_source(first)
    for other in others:
        theirs = _find_source(other)
        # A text that is too short for one of them is not drawn.
        backlog = replace(theirs.backlog, min_text_length=source.backlog.min_text_length)
        same_name = replace(backlog, source=source.backlog.source)
        if _real_paths(theirs) != _real_paths(source) or same_name != source.backlog:
            raise InputError(
                f"{first.file} and {other.file} name different posts ({source} and {theirs}): "
                "all configurations need the same section backlog. To use one for all, add "
                f"{OVERRIDES.to_paste(*_one_backlog(source, candidates))}"
            )
    return source


def one_database(candidates: Sequence[Candidate]) -> Path:
    """Return the database that all configurations name.

    Raises:
        InputError: two of them name different ones.
    """
    first, *others = candidates
    database = first.config.storage.database
    for other in others:
        if other.config.storage.database != database:
            raise InputError(
                f"{first.file} and {other.file} name different databases: say with "
                f"{TRIAL_DATABASE.usage('FILE')} which one has the gold labels"
            )
    return database


def _find_source(candidate: Candidate) -> Source:
    config = candidate.config
    return sources.find_source(
        config.backlog, _folders(candidate), database=config.storage.database
    )


def _folders(candidate: Candidate) -> tuple[Path, ...]:
    """Return the folders that a relative path may start from."""
    return candidate.file.parent.absolute(), Path.cwd()


def _one_backlog(source: Source, candidates: Sequence[Candidate]) -> list[str]:
    """Return the overrides that make all configurations read the first one's posts.

    They leave alone what is the same everywhere, and the shortest text, which changes labels.
    """
    first, *others = (fields_to_json(each.config.backlog) for each in candidates)
    differing = {
        name: value
        for name, value in first.items()
        if name not in ("source", "min_text_length")
        and any(other[name] != value for other in others)
    }
    values = {"source": _place_of(source, candidates[0]), **differing}
    return [
        f"backlog.{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items()
    ]


def _place_of(source: Source, candidate: Candidate) -> str:
    """Return what names a source from everywhere: a configuration looks beside itself first."""
    name = Path(source.backlog.source).expanduser()
    for folder in _folders(candidate):
        place = replace(source.backlog, source=str(folder / name))
        with suppress(InputError):
            found = sources.find_source(
                place, (folder,), database=candidate.config.storage.database
            )
            if found.files == source.files:
                return place.source
    return source.backlog.source


def _real_paths(source: Source) -> list[Path]:
    return [path.resolve() for path in source.files]


def _reject_server(candidate: Candidate) -> None:
    """Raise InputError where each task would start a server: this may be a login node."""
    if candidate.classifier.get(_SERVER):
        raise InputError(
            f"{candidate.file}: classifier.server: a server is started by tasks, not by hpc try, "
            "because this may be a login node. Start the server yourself, and give its address: "
            f"{OVERRIDES.usage('classifier.server=null')} "
            f"{OVERRIDES.usage('classifier.base_url=http://HOST:PORT/v1')}. Or label "
            "a few posts in a task, under another name: "
            f"hpc submit --config {candidate.file} --set name=trial --limit 10"
        )
