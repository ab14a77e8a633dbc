"""Which keys of a submitted run may be corrected, and what a correction changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpc.config.corrections import corrections_by_key
from hpc.config.run_config import ConfigurationFile
from hpc.reconcile.amend import amend
from hpc.run import run_folder
from hpc.run.cluster.resources import CaretakerResources, Resources, resolve, section_of
from hpc.run.model.run import Run
from pipeline.classifiers import registry
from pipeline.config.check import Problems, check
from pipeline.config.keys import Section, keys_of, section_in
from pipeline.errors import InputError
from pipeline.run_files import amendments
from tests.pipeline import run_builders

LLM: dict[str, Any] = {
    "type": "llm", "base_url": "http://localhost:8000/v1", "model": "small", "prompt": "Rate it.",
    "labels": [{"name": "toxic", "type": "bool", "description": "Is it toxic?"}],
}  # fmt: skip
SHIPPED = ("perspective", "llm", "guard", "moderation", "transformers", "valence", "external")
LISTS = ("classifier.labels", "classifier.messages", "classifier.questions")
FROZEN = ("name", "backlog", "sharding", "storage.run_root", "storage.database", "cluster.executor",
          "cluster.template", "cluster.cluster_name")  # fmt: skip


@pytest.fixture(autouse=True)
def key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "secret-enough")


def make(folder: Path, classifier: dict[str, Any], **more: Any) -> Run:
    made, _ = run_builders.make_run(folder, run_builders.posts(4), classifier=classifier, **more)
    return run_folder.load(made)


def on_slurm(**resources: object) -> dict[str, Any]:
    own = {**run_builders.RESOURCES, **resources}
    return {**run_builders.LOCAL_CLUSTER, "executor": "slurm", "resources": own,
            "caretaker": {**own, "mem_gb": 2.0}}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make(tmp_path, LLM, cluster=on_slurm(account="p999", mem_gb=4.0))


def changed(run: Run, *overrides: str) -> dict[str, tuple[object, object]]:
    return {each.key: (each.old, each.new) for each in corrections_by_key(run, overrides)}


def problems(run: Run, *overrides: str) -> str:
    with pytest.raises(InputError) as raised:
        corrections_by_key(run, overrides)
    return str(raised.value)


def declared(section: type[Section], prefix: str, *, label: bool) -> Iterator[tuple[str, bool]]:
    """Yield every key's path, and whether it or one that it lies in changes labels."""
    for name, key in keys_of(section).items():
        if key.facts.recorded:
            continue
        path, changes = f"{prefix}{name}", label or key.facts.changes_labels
        inner = section_in(key.annotation)
        if inner is None or path in LISTS:
            yield path, changes
        else:
            yield from declared(inner, f"{path}.", label=changes)


def every_key(kind: str) -> list[tuple[str, bool]]:
    top = [(name, key) for name, key in keys_of(ConfigurationFile).items()]
    keys = [("name", False), ("classifier.type", True)]
    for name, key in top:
        inner = section_in(key.annotation)
        if inner:
            keys += declared(inner, f"{name}.", label=False)
    return [*keys, *declared(registry.load(kind).options_type, "classifier.", label=False)]


EVERY_KEY = sorted({(kind, *key) for kind in SHIPPED for key in every_key(kind)})


@pytest.mark.parametrize("kind", SHIPPED)
def test_each_declared_key_is_accepted_or_rejected_as_its_declaration_says(
    tmp_path: Path, kind: str
) -> None:
    classifiers: dict[str, dict[str, Any]] = {
        "perspective": {"type": "perspective"}, "llm": LLM, "valence": run_builders.VALENCE,
        "transformers": {"type": "transformers", "model": "a/b", "revision": "0" * 40},
        "moderation": {"type": "moderation", "base_url": "http://localhost:1/v1", "model": "m",
                       "categories": "openai"},
        "guard": {"type": "guard", "base_url": "http://localhost:1/v1", "model": "m",
                  "messages": [{"role": "user", "content": "{text}"}], "label": "unsafe",
                  "words": {"unsafe": True, "safe": False}},
        "external": {"type": "external", "model": "m", "labels": [{"name": "a", "type": "bool"}]},
    }  # fmt: skip
    run = make(tmp_path, classifiers[kind])
    for _, path, changes_labels in (key for key in EVERY_KEY if key[0] == kind):
        # No key takes such a value, so each one that may be corrected is rejected for its value.
        text = problems(run, f"{path}={{a: {{b: {{}}}}}}")
        is_frozen = any(path == one or path.startswith(f"{one}.") for one in FROZEN)
        assert path in text, text
        assert ("changes labels" in text) == changes_labels, text
        assert ("hpc submit" in text or "new run" in text or "edited configuration" in text) == (
            changes_labels or is_frozen
        ), text


def test_a_correction_says_the_old_and_the_new_value(run: Run) -> None:
    assert changed(
        run, "cluster.partition=short", "cluster.mem_gb=8", "retry.max_attempts=6",
        "checkpoint.rows=100", "classifier.base_url=http://other:1/v1/",
        "classifier.requests_per_minute=600", "classifier.price={prompt: 1, completion: 2}",
        "cluster.setup=[module load python]", "cluster.max_parallel=5",
    ) == {
        "cluster.partition": (None, "short"),
        "cluster.caretaker.partition": (None, "short"),
        "cluster.mem_gb": (4.0, 8.0),
        "retry.max_attempts": (4, 6),
        "checkpoint.rows": (500, 100),
        "classifier.base_url": ("http://localhost:8000/v1", "http://other:1/v1"),
        "classifier.requests_per_minute": (None, 600),
        "classifier.quota_folder": ("~/.hpc/quota", str(Path("~/.hpc/quota").expanduser())),
        "classifier.price": (
            None, {"prompt": 1.0, "completion": 2.0, "cached": 1.0, "currency": "USD"},
        ),
        "cluster.setup": ([], ["module load python"]),
        "cluster.caretaker.setup": ([], ["module load python"]),
        "cluster.max_parallel": (2, 5),
    }  # fmt: skip


def test_a_caretaker_follows_the_tasks_unless_it_has_a_value_of_its_own(tmp_path: Path) -> None:
    cluster = on_slurm(account="p999", partition="normal")
    cluster["caretaker"] = {**cluster["caretaker"], "partition": "short"}
    run = make(tmp_path, LLM, cluster=cluster)
    assert changed(run, "cluster.account=kellogg", "cluster.partition=long") == {
        "cluster.account": ("p999", "kellogg"),
        "cluster.caretaker.account": ("p999", "kellogg"),
        "cluster.partition": ("normal", "long"),
    }
    assert changed(run, "cluster.caretaker.mem_gb=1", "cluster.caretaker.time=1-0") == {
        "cluster.caretaker.mem_gb": (2.0, 1.0),
        "cluster.caretaker.time_min": (60, 1440),
    }


def test_a_key_takes_its_alternative_back(tmp_path: Path, run: Run) -> None:
    key = tmp_path / "key"
    key.write_text("secret-enough")
    key.chmod(0o600)
    assert changed(run, "cluster.mem_per_cpu=2") == {
        "cluster.mem_gb": (4.0, None),
        "cluster.mem_per_cpu": (None, 2.0),
        "cluster.caretaker.mem_gb": (2.0, None),
        "cluster.caretaker.mem_per_cpu": (None, 2.0),
    }
    perspective = {"type": "perspective", "api_key_env": "PERSPECTIVE_API_KEY"}
    other = make(tmp_path / "other", perspective)
    of_key = changed(other, f"classifier.api_key_file={key}")
    del of_key["classifier.quota_folder"]
    assert of_key == {
        "classifier.api_key_env": ("PERSPECTIVE_API_KEY", None),
        "classifier.api_key_file": (None, str(key)),
    }


def test_a_key_without_a_value_has_its_default(run: Run) -> None:
    assert changed(run, "cluster.account=", "retry.max_attempts=") == {
        "cluster.account": ("p999", None),
        "cluster.caretaker.account": ("p999", None),
    }


def test_the_same_value_is_no_correction(run: Run) -> None:
    assert changed(run, "cluster.account=p999", "cluster.time=1:00:00", "retry.max_time=") == {}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("cluster.acount=x", "overrides: cluster.acount: unknown key (did you mean 'account'?)"),
        ("clutser.account=x", "overrides: clutser.account: unknown key (did you mean 'cluster'?)"),
        ("classifier.base_ulr=x", "classifier.base_ulr: unknown key (did you mean 'base_url'?)"),
        ("classifier.price.prmpt=1", "classifier.price.prmpt: unknown key"),
        ("cluster={}", "cluster: holds several keys"),
        ("cluster.time_min=4:00:00", "`time` takes Slurm's notation"),
        ("cluster.caretaker.time_min=4:00:00", "`time` takes Slurm's notation"),
        ("retry.max_time_min=4:00:00", "`max_time` takes Slurm's notation"),
        ("cluster.time=soon", "should be a time such as 90"),
        ("retry.max_time=soon", "should be a time such as 90"),
        ("cluster.extra={nodes: 2}", "cluster.extra"),
        ("classifier.api_key_env=NOT_SET_ANYWHERE", "classifier.api_key_env"),
        ("classifier.server.command=[vllm]", "classifier.server.command: changes labels"),
        ("classifier.server={command: [x, '{port}']}", "give either base_url or server"),
        ("cluster.account", "should look like"),
    ],
)
def test_a_wrong_correction_names_its_key(run: Run, override: str, words: str) -> None:
    assert words in problems(run, override)


def test_every_wrong_key_is_named_at_once(run: Run) -> None:
    text = problems(run, "classifier.model=large", "sharding.shards=3", "cluster.account=x")
    assert "classifier.model: changes labels" in text
    assert "sharding.shards: " in text
    assert "account" not in text


def test_amendments_add_up(run: Run) -> None:
    """What holds is what was corrected last, for every later command and for tasks."""
    first = amend(run, corrections_by_key(run, ["cluster.time=2:00:00", "cluster.account=a"]))
    second = amend(first, corrections_by_key(first, ["cluster.account=b"]))
    again = run_folder.load(run.folder)
    assert again == second
    assert (again.cluster.resources.time_min, again.cluster.resources.account) == (120, "b")
    assert [each.number for each in again.amendments] == [1, 2]
    assert corrections_by_key(again, ["cluster.account=b", "cluster.time=120"]) == ()
    read = amendments.read_first(run.folder, 2)
    assert amendments.apply(run.manifest, read, run.folder) == again.manifest


def test_a_server_of_the_tasks_own_is_corrected_beside_its_command(tmp_path: Path) -> None:
    server = {key: value for key, value in LLM.items() if key != "base_url"}
    server |= {"server_command": ["vllm", "{port}"], "server": {"ready_seconds": 900.0}}
    run = make(tmp_path, server)
    (change,) = corrections_by_key(run, ["classifier.server.ready_seconds=60"])
    assert (change.key, change.place) == ("classifier.server", "classifier.server")
    after = amend(run, [change]).manifest.classifier
    assert after["server_command"] == ["vllm", "{port}"]
    assert after["server"]["ready_seconds"] == 60.0


@pytest.mark.parametrize(("cached", "follows"), [({}, True), ({"cached": 0.5}, False)])
def test_the_price_of_cached_tokens_follows_that_of_the_prompt_unless_it_is_another(
    tmp_path: Path, cached: dict[str, float], follows: bool
) -> None:
    price = {"prompt": 2.0, "completion": 8.0, **cached}
    run = make(tmp_path, {**LLM, "price": price})
    ((_, corrected),) = changed(run, "classifier.price.prompt=1").values()
    assert isinstance(corrected, dict)
    assert corrected["cached"] == (1.0 if follows else 0.5)


@pytest.mark.parametrize("executor", ["slurm", "local"])
@pytest.mark.parametrize("own", [{}, {"partition": "p", "account": "a", "mem_per_cpu": 2.0}])
def test_a_section_gives_the_resources_that_it_was_made_of(
    executor: str, own: dict[str, Any]
) -> None:
    from_yaml = {"executor": executor, "time": "2:00:00", "setup": ["x"], **own}
    section = check(_section(), from_yaml, source="", problems=Problems())
    assert section
    cluster = resolve(section)
    again = check(_section(), section_of(cluster), source="", problems=Problems())
    assert again
    assert resolve(again) == cluster


def _section() -> type[Any]:
    kind = section_in(keys_of(ConfigurationFile)["cluster"].annotation)
    assert kind
    return kind


def test_a_caretaker_has_all_keys_that_a_section_gives_it() -> None:
    assert set(keys_of(CaretakerResources)) - {"time"} <= set(keys_of(Resources))
