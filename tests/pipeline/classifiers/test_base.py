"""How classifiers are found and created: ours and those of other packages."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline.classifiers import frozen_classifier, registry
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.valence import Valence
from pipeline.errors import InputError
from pipeline.model import Answer, Column, Post
from tests.pipeline.classifiers.classifier_setup import configured, frozen_options

MODULE = """
from typing import Annotated
from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.config.keys import label_key
from pipeline.model import Answer, Column

class ShoutingOptions(Options, frozen=True, kw_only=True):
    mark: Annotated[str, label_key("What a post that shouts holds.")] = "!"

class Shouting(Classifier[ShoutingOptions]):
    columns = (Column("shouts", "flag"),)
    options_type = ShoutingOptions

    def __init__(self, options, share):
        self._mark = options.mark
        self.model = f"shouting, one of {share.parallel_tasks}"

    def classify(self, posts):
        for post in posts:
            yield Answer(post.uri, {"shouts": self._mark in post.text})
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install another package as pip does: a module and its metadata on the path."""
    (tmp_path / "loud_labels.py").write_text(MODULE)
    metadata = tmp_path / "loud_labels-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: loud-labels\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[pipeline.classifiers]\n"
        "shouting = loud_labels:Shouting\n"
        "broken = loud_labels_not_there:Nothing\n"
        "valence = of_an_earlier_version:Valence\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loud_labels", raising=False)
    return tmp_path


@pytest.mark.usefixtures("installed")
def test_a_classifier_of_another_package_can_be_used() -> None:
    options = frozen_options({"type": "shouting", "mark": "?"})
    assert options == {"type": "shouting", "mark": "?"}
    classifier = frozen_classifier.create(options, TaskShare(parallel_tasks=3))
    assert classifier.model == "shouting, one of 3"
    assert list(classifier.classify([Post("at://0", "what?"), Post("at://1", "oh")])) == [
        Answer("at://0", {"shouts": True}),
        Answer("at://1", {"shouts": False}),
    ]


@pytest.mark.usefixtures("installed")
def test_our_own_classifiers_are_known_whatever_the_metadata_of_packages_say() -> None:
    assert registry.load("valence") is Valence
    assert frozen_options({"type": "valence"}) == {
        "type": "valence",
        "version": version("vaderSentiment"),
    }


def test_a_package_that_is_installed_or_removed_meanwhile_is_noticed(installed: Path) -> None:
    """As in a notebook, which goes on after `pip install`."""
    assert "shouting" in registry.list_installed()
    another = installed / "calm_labels-1.0.dist-info"
    another.mkdir()
    (another / "entry_points.txt").write_text(
        "[pipeline.classifiers]\ncalm = loud_labels:Shouting\n"
    )
    assert {"calm", "shouting"} <= set(registry.list_installed())
    shutil.rmtree(installed / "loud_labels-1.0.dist-info")
    assert registry.load("calm").__name__ == "Shouting"
    assert "shouting" not in registry.list_installed()


@pytest.mark.usefixtures("installed")
def test_the_keys_of_another_package_are_checked_too() -> None:
    with pytest.raises(InputError, match=r"classifier\.makr: unknown key"):
        frozen_options({"type": "shouting", "makr": "?"})


@pytest.mark.usefixtures("installed")
def test_options_of_another_version_are_reported_with_the_file() -> None:
    with pytest.raises(InputError) as rejected:
        frozen_classifier.create(
            {"type": "shouting", "volume": 11}, TaskShare(), source="run/manifest.json"
        )
    assert str(rejected.value) == "run/manifest.json: classifier.volume: unknown key"


@pytest.mark.usefixtures("installed")
def test_the_login_node_knows_the_columns_that_a_class_declares() -> None:
    of_hub = {"type": "transformers", "model": "a/b", "revision": "0" * 40}
    assert configured({"type": "shouting"}).columns == (Column("shouts", "flag"),)
    assert configured(of_hub).columns == ()


def test_a_type_that_is_no_longer_installed_is_reported() -> None:
    with pytest.raises(InputError, match=r"^classifier\.type: there is no 'gone'; installed: "):
        frozen_classifier.create({"type": "gone"}, TaskShare())


@pytest.mark.usefixtures("installed")
def test_a_classifier_that_cannot_be_imported_says_what_is_missing() -> None:
    with pytest.raises(InputError) as refused:
        registry.load("broken")
    assert str(refused.value) == (
        "classifier.type: 'broken' cannot be imported: No module named 'loud_labels_not_there'"
    )


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (("response",), "its column 'response' is reserved in every output"),
        (("shouts", "URI"), "its column 'uri' is reserved in every output"),
        (("rowid",), "its column 'rowid' is reserved in every output"),
        (("shouts", "loud", "Shouts"), "its column 'shouts' is declared twice"),
        (("its shard",), "its column 'its shard' has a blank in its name"),
    ],
)
def test_columns_that_cannot_be_stored_are_rejected_before_anything_is_paid_for(
    columns: tuple[str, ...], problem: str
) -> None:
    kind = registry.load("shouting")
    kind.columns = tuple(Column(name, "flag") for name in columns)
    with pytest.raises(InputError) as refused:
        frozen_classifier.create({"type": "shouting", "mark": "!"}, TaskShare())
    assert str(refused.value) == f"classifier.type shouting: {problem}"
    with pytest.raises(InputError) as planned:
        configured({"type": "shouting"})
    assert str(planned.value).endswith(f"classifier.type: shouting: {problem}")


@pytest.mark.parametrize(
    ("kind", "spared"),
    [
        ("valence", "requests"),
        ("perspective", "vaderSentiment"),
        ("llm", "vaderSentiment"),
        ("llm", "torch"),
        ("transformers", "vaderSentiment"),
        # Login nodes may have none, and import what freezes a configuration.
        ("transformers", "torch"),
    ],
)
def test_a_task_imports_its_own_classifier_and_no_other(kind: str, spared: str) -> None:
    """200 tasks that start at once read every module from the same shared file system."""
    code = (
        "import sys; from pipeline.classifiers.registry import load; "
        f"load({kind!r}); sys.exit({spared!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("installed")
def test_what_changes_labels_is_declared_with_the_key() -> None:
    loud, kept = (
        frozen_options({"type": "shouting", **keys}) for keys in ({"mark": "?"}, {"keep_raw": True})
    )
    assert frozen_classifier.what_decides(loud) == {"type": "shouting", "mark": "?"}
    assert frozen_classifier.what_decides(kept) == {"type": "shouting", "mark": "!"}


def test_keep_raw_is_frozen_and_changes_no_label() -> None:
    kept = frozen_options({"type": "valence", "keep_raw": True})
    assert kept["keep_raw"] is True
    assert frozen_classifier.what_decides(kept) == frozen_classifier.what_decides(
        frozen_options({"type": "valence"})
    )
