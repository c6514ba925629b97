"""Services of rewards on the loopback, for tests: each does what it is told."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, bytes] | None
"""Status and body; None: the connection is dropped."""


@contextmanager
def serving(answer: Callable[[str, bytes], Answer]) -> Iterator[str]:
    """The address of a server that answers ``(path, body)``; of a GET the body is empty."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(answer(self.path, b""))

        def do_POST(self) -> None:
            self._answer(answer(self.path, self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, found: Answer) -> None:
            if found is None:
                self.close_connection = True
                return
            status, body = found
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def as_json(value: Any) -> Answer:
    """An answer of JSON."""
    return 200, json.dumps(value).encode()


def as_pickle(value: Any) -> Answer:
    """An answer of pickle."""
    return 200, pickle.dumps(value)
