"""Files of a folder over HTTP on the loopback; some of them may break off half way."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class Handler(SimpleHTTPRequestHandler):
    requests: list[str]
    broken: set[str]

    def do_GET(self) -> None:
        self.requests.append(f"GET {self.path}")
        name = self.path.rpartition("/")[2]
        if name not in self.broken:
            return super().do_GET()
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        return None

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_files(folder: Path) -> Iterator[tuple[str, type[Handler]]]:
    """Address of the folder, and the handler, whose ``requests`` are noted and whose ``broken`` names break off."""
    handler = type("Own", (Handler,), {"requests": [], "broken": set()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
    finally:
        server.shutdown()
        server.server_close()
