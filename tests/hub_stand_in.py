"""A stand-in for the Hugging Face hub: the calls that huggingface_hub makes to look at a model and to commit files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

TOKEN = "hf_" + "a1B2" * 8
LARGE = 20_000
"""Bytes from which on a file is sent by LFS."""


@dataclass
class Repository:
    """The files of a repository, and the messages of its commits."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b""})
    commits: list[str] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return hashlib.sha1(repr((sorted(self.files), self.commits)).encode()).hexdigest()


@dataclass
class Hub:
    """What the stand-in holds; ``answer`` may return a status and a message instead, given method and path."""

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    answer: Callable[[str, str], tuple[int, str] | None] = lambda method, path: None
    user: str = "kim"

    def commit(self, name: str, lines: list[bytes]) -> str:
        """Apply the lines of a commit as a whole."""
        repository = self.repositories[name]
        files, message = dict(repository.files), ""
        for line in lines:
            one = json.loads(line)
            key, value = one["key"], one["value"]
            if key == "header":
                message = value["summary"]
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            else:
                raise AssertionError(key)
        repository.files = files
        repository.commits.append(message)
        return repository.sha


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        self.send(200, {})

    def do_GET(self) -> None:
        self.dispatch("GET")

    def do_POST(self) -> None:
        self.dispatch("POST")

    def do_PUT(self) -> None:
        self.dispatch("PUT")

    def dispatch(self, method: str) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.hub.requests.append(f"{method} {path}")
        if other := self.hub.answer(method, path):
            return self.send(other[0], {"error": other[1]})
        # What LFS says to send to has its own signature on the real hub.
        if method != "PUT" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.send(401, {"error": "Invalid username or password."})
        for of, pattern, call in ROUTES:
            if of == method and (found := re.fullmatch(pattern, path)):
                return call(self, content, *found.groups())
        return self.send(404, {"error": f"no {method} {path} here"})

    def send(self, status: int, value: Any, code: str = "") -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def whoami(self, content: bytes) -> None:
        self.send(200, {"name": self.hub.user, "type": "user", "orgs": []})

    def model(self, content: bytes, name: str) -> None:
        if (repository := self.hub.repositories.get(name)) is None:
            return self.send(404, {"error": "Repository not found"}, "RepoNotFound")
        files = [{"rfilename": path} for path in sorted(repository.files)]
        known = {"id": name, "sha": repository.sha, "private": repository.private, "siblings": files, "tags": []}
        return self.send(200, known)

    def create(self, content: bytes) -> None:
        asked = json.loads(content)
        owner = asked.get("organization") or self.hub.user
        if owner != self.hub.user:
            return self.send(403, {"error": f'You don\'t have the rights to create a model under "{owner}"'})
        name = f"{owner}/{asked['name']}"
        if name in self.hub.repositories:
            return self.send(409, {"error": "You already created this model repo"})
        self.hub.repositories[name] = Repository(asked.get("visibility") == "private" or bool(asked.get("private")))
        return self.send(200, {"url": f"{self.hub.address}/{name}", "name": name})

    def validate(self, content: bytes) -> None:
        assert json.loads(content)["content"].startswith("---\n")
        self.send(200, {"errors": [], "warnings": []})

    def preupload(self, content: bytes, name: str) -> None:
        if name not in self.hub.repositories:
            return self.send(404, {"error": "Repository not found"}, "RepoNotFound")
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["size"] > LARGE else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for one in json.loads(content)["files"]
        ]
        return self.send(200, {"files": files})

    def batch(self, content: bytes, name: str) -> None:
        objects = []
        for one in json.loads(content)["objects"]:
            upload = {"href": f"{self.hub.address}/lfs/{one['oid']}"}
            objects.append(one if one["oid"] in self.hub.large else {**one, "actions": {"upload": upload}})
        self.send(200, {"transfer": "basic", "objects": objects})

    def put(self, content: bytes, oid: str) -> None:
        assert hashlib.sha256(content).hexdigest() == oid
        self.hub.large[oid] = content
        self.send(200, {})

    def commit(self, content: bytes, name: str) -> None:
        sha = self.hub.commit(name, content.splitlines())
        self.send(
            200, {"commitUrl": f"{self.hub.address}/{name}/commit/{sha}", "commitOid": sha, "pullRequestUrl": None}
        )


ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/api/whoami-v2", Handler.whoami),
    ("GET", "/api/models/([^/]+/[^/]+)", Handler.model),
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("POST", "/api/models/([^/]+/[^/]+)/preupload/main", Handler.preupload),
    ("POST", "/([^/]+/[^/]+).git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/lfs/([0-9a-f]{64})", Handler.put),
    ("POST", "/api/models/([^/]+/[^/]+)/commit/main", Handler.commit),
]


@contextmanager
def hub() -> Iterator[Hub]:
    """Run the stand-in on this machine."""
    held = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": held}))
    held.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
