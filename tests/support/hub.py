"""A Hugging Face hub on the loopback: the endpoints that pushing and loading a model need, files held in memory.

    with serve() as hub:
        subprocess.run(..., env=os.environ | hub.environment(home))

Written after huggingface_hub's client: create a repository, preupload, LFS batch and upload, commit, model info, tree,
resolve. Every commit is a whole new revision; ``main`` is the last one.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN = "hf_loopback"


@dataclass
class Hub:
    """Repositories of the server.

    Attributes:
        repositories: id -> commit -> path -> bytes, the newest commit last.
        blobs: sha256 -> bytes, uploaded but not necessarily committed.
        private: ids that were made as private ones.
        requests: "METHOD /path" of every request, in order.
    """

    endpoint: str = ""
    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)

    def environment(self, home: Path) -> dict[str, str]:
        """What points huggingface_hub here, with an empty cache in ``home``."""
        return {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0",
                "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip

    def files(self, repo: str, revision: str = "main") -> tuple[str, dict[str, bytes]] | None:
        """Commit and files of a revision; None where there is none."""
        commits = self.repositories.get(repo, {})
        commit = next(reversed(commits), "") if revision == "main" else revision
        return (commit, commits[commit]) if commit in commits else None

    def commit(self, repo: str, lines: list[dict]) -> str:
        found = self.files(repo)
        files = dict(found[1]) if found else {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        text = repr((repo, len(self.repositories[repo]), sorted((n, _sha(b)) for n, b in files.items())))
        commit = hashlib.sha1(text.encode()).hexdigest()
        self.repositories[repo][commit] = files
        return commit


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = self._parts()
        if parts[:2] == ["api", "models"]:
            self._about(parts[2:])
        else:
            self._resolve(parts)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        oid, data = self._parts()[-1], self._body()
        if _sha(data) != oid:
            self._fail(400, "BadRequest")
            return
        self.hub.blobs[oid] = data
        self._send(200, {})

    def do_POST(self) -> None:
        parts, body = self._parts(), self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._fail(401, "Unauthorized")
        elif parts == ["api", "repos", "create"]:
            self._create(json.loads(body))
        elif parts == ["api", "validate-yaml"]:
            self._send(200, {"errors": [], "warnings": []})
        elif parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in self.hub.repositories:
            self._change("/".join(parts[2:4]), parts[4], body)
        elif parts[2:] == ["info", "lfs", "objects", "batch"]:
            objects = [
                {"oid": o["oid"], "size": o["size"],
                 "actions": {"upload": {"href": f"{self.hub.endpoint}/blobs/{o['oid']}"}}}
                for o in json.loads(body)["objects"]
            ]  # fmt: skip
            self._send(200, {"transfer": "basic", "objects": objects})
        else:
            self._fail(404, "RepoNotFound")

    def _create(self, wanted: dict) -> None:
        repo = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        status = 409 if repo in self.hub.repositories else 200
        self.hub.repositories.setdefault(repo, {"0" * 40: {".gitattributes": b""}})
        if wanted.get("visibility") == "private" or wanted.get("private"):
            self.hub.private.add(repo)
        self._send(status, {"url": f"{self.hub.endpoint}/{repo}", "name": repo})

    def _change(self, repo: str, what: str, body: bytes) -> None:
        if what == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                 "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]  # fmt: skip
            self._send(200, {"files": files})
        elif what == "commit":
            commit = self.hub.commit(repo, [json.loads(line) for line in body.splitlines()])
            url = f"{self.hub.endpoint}/{repo}/commit/{commit}"
            self._send(200, {"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})
        else:
            self._fail(404, "EntryNotFound")

    def _about(self, parts: list[str]) -> None:
        """Model info, or the tree of a revision."""
        repo, rest = "/".join(parts[:2]), parts[2:]
        found = self.hub.files(repo, rest[1] if len(rest) > 1 else "main")
        if found is None:
            self._fail(404, "RevisionNotFound" if repo in self.hub.repositories else "RepoNotFound")
            return
        commit, files = found
        if rest[:1] == ["tree"]:
            under = "/".join(rest[2:])
            tree = [{"type": "file", "path": n, "size": len(b), "oid": _sha(b)[:40]}
                    for n, b in files.items() if n.startswith(f"{under}/" if under else "")]  # fmt: skip
            self._send(200, tree) if tree else self._fail(404, "EntryNotFound")
            return
        siblings = [{"rfilename": name} for name in files]
        self._send(200, {"id": repo, "modelId": repo, "sha": commit, "private": repo in self.hub.private,
                         "siblings": siblings, "tags": [], "downloads": 0, "likes": 0})  # fmt: skip

    def _resolve(self, parts: list[str]) -> None:
        if len(parts) < 5 or parts[2] != "resolve":
            self._fail(404, "EntryNotFound")
            return
        repo, name = "/".join(parts[:2]), "/".join(parts[4:])
        found = self.hub.files(repo, parts[3])
        if found is None or name not in found[1]:
            known = repo in self.hub.repositories
            self._fail(404, "EntryNotFound" if found else "RevisionNotFound" if known else "RepoNotFound")
            return
        commit, files = found
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_sha(files[name])}"'}
        self._send(200, files[name], headers)

    def _parts(self) -> list[str]:
        self.hub.requests.append(f"{self.command} {self.path}")
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _fail(self, status: int, code: str) -> None:
        self._send(status, {"error": code}, {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        start, end = 0, len(data)
        wanted = self.headers.get("Range")
        if wanted and status == 200:
            first, last = wanted.removeprefix("bytes=").split("-")
            start, end = int(first), int(last) + 1 if last else len(data)
            status = 206
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Type", "application/octet-stream" if isinstance(value, bytes) else "application/json")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[start:end])


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def serve() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
