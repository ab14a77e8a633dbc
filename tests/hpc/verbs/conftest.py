"""What the tests of all verbs have in common."""

import pytest


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the key of whoever runs the tests."""
    monkeypatch.delenv("PERSPECTIVE_API_KEY", raising=False)
