"""A real web server for models: a mirror and a hub, with Range, and the faults that networks have."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


def blob_sha1(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


class ModelServer:
    """Serves `files` (path -> bytes). cut_after: so many bytes of each body, then the connection is closed; ranges: whether
    Range is understood; hub: answer HEAD as the hub does, large files by a redirect with their SHA-256.
    """

    def __init__(self, files: dict[str, bytes], *, hub: bool = False) -> None:
        self.files, self.hub = files, hub
        self.cut_after: int | None = None
        self.cuts = 10**9  # how many bodies are cut
        self.ranges = True
        self.seen: list[tuple[str, str, str]] = []  # method, path, Range
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                owner.answer(self, body=False)

            def do_GET(self) -> None:
                owner.answer(self, body=True)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ModelServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = request.path
        wanted = request.headers.get("Range", "")
        self.seen.append((request.command, path, wanted))
        data = self.files.get(path.removeprefix("/cdn"))
        if data is None:
            request.send_response(404)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        large = len(data) > 10_000
        if self.hub and large and not path.startswith("/cdn"):
            request.send_response(302)
            request.send_header("Location", f"/cdn{path}")
            request.send_header("X-Repo-Commit", "c0ffee")
            request.send_header("X-Linked-Size", str(len(data)))
            request.send_header("X-Linked-ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        request.send_response(206 if start else 200)
        if self.hub:
            request.send_header("X-Repo-Commit", "c0ffee")
            request.send_header("ETag", f'"{blob_sha1(data)}"')
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        if not body:
            return
        rest = data[start:]
        if self.cut_after is not None and large and self.cuts > 0 and len(rest) > self.cut_after:
            self.cuts -= 1
            request.wfile.write(rest[: self.cut_after])
            request.wfile.flush()
            request.close_connection = True
            request.connection.shutdown(2)
            return
        request.wfile.write(rest)
