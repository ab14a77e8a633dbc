"""Property-based tests: no deadlines on noisy machines; in CI always the same examples, so that a
red run is the change's doing and can be run again. A developer's machine goes on searching."""

import os

from hypothesis import settings

settings.register_profile("search", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "search")
