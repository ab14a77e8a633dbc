"""Stand in for the Hugging Face hub: one model at one commit, as far as a download needs it."""

import hashlib
from pathlib import Path

from tests.servers.http import LoopbackServer, Reply, Request

COMMIT = "4d6c22e74ba2fdd26bc4f7238f50766b045a0d94"


class HubServer(LoopbackServer):
    """Serves the files of `folder` as model `name`, and records requests and downloads.

    Another commit and another model get the codes by which the hub's own library distinguishes
    them.
    """

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__()
        self.name = name
        self.folder = folder
        self.downloaded: list[str] = []
        self.requests = 0

    def respond(self, request: Request) -> Reply:
        with self.lock:
            self.requests += 1
        tree, files = f"/api/models/{self.name}/tree/", f"/{self.name}/resolve/"
        for prefix in (tree, files):
            if request.path.startswith(prefix):
                commit, _, name = request.path.removeprefix(prefix).partition("/")
                if commit != COMMIT:
                    return Reply(status=404, headers={"X-Error-Code": "RevisionNotFound"})
                return self._tree() if prefix == tree else self._file(request, name)
        return Reply(status=401, headers={"X-Error-Code": "RepoNotFound"})

    def _tree(self) -> Reply:
        return Reply(
            body=[
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _oid(path)}
                for path in sorted(self.folder.iterdir())
            ]
        )

    def _file(self, request: Request, name: str) -> Reply:
        path = self.folder / name
        if not path.is_file():
            return Reply(status=404, headers={"X-Error-Code": "EntryNotFound"})
        if request.method == "GET":
            with self.lock:
                self.downloaded.append(name)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_oid(path)}"'}
        return Reply(body=path.read_bytes(), headers=headers)


def _oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
