"""A server of rewards as a plain process: the standard library's HTTP, a thread for each connection."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.workers.serving.service import RewardService
from tts.errors import EngineError

IDLE_SECONDS = 120.0
"""Seconds after which a silent connection is closed."""

DISCARDED, CHUNK = 16, 1 << 20
"""Longest request that is read and dropped, in longest requests; and bytes of it at a time."""

EVERY = ("0.0.0.0", "::")  # noqa: S104  (users say where it listens)
"""Hosts that stand for all addresses of a machine, and are none that others can ask."""


class Server(ThreadingHTTPServer):
    """Serves until it is shut down.

    Args:
        service: what answers.
        host, port: where it listens; port Port; 0: any free one.
        most_bytes: of a request.

    Raises:
        EngineError: it cannot listen there.
    """

    daemon_threads = True

    def __init__(self, service: RewardService, host: str, port: int, most_bytes: int) -> None:
        self.service, self.most_bytes = service, most_bytes
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise EngineError(f"--host {host} --port {port}: cannot listen there ({error.strerror})") from None

    @property
    def address(self) -> str:
        """What clients set as ``url``."""
        host, port, *_ = self.server_address
        name = host.decode() if isinstance(host, bytes | bytearray) else host
        return f"http://{socket.gethostname() if name in EVERY else name}:{port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: clients may go away."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version, server_version, sys_version = "HTTP/1.1", "tts-bench", ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(411, "the request does not say how long it is")
        elif int(length) > self.server.most_bytes:
            self._discard(min(int(length), DISCARDED * self.server.most_bytes))
            self._refuse(413, f"the request has {length} bytes, and {self.server.most_bytes} are the most; send fewer")
        elif (refused := self.server.service.refusal(self.headers.get("Authorization"))) is not None:
            self._discard(int(length))
            self._send(*refused)
        else:
            self._answer(self.rfile.read(int(length)))

    def _discard(self, length: int) -> None:
        """Read a refused body and drop it: a client that is cut off while it sends would not get the answer."""
        while length > 0 and (part := self.rfile.read(min(length, CHUNK))):
            length -= len(part)

    def _answer(self, body: bytes) -> None:
        self._send(*self.server.service.answer(self.command, self.path, body, self.headers.get("Authorization")))

    def _refuse(self, status: int, words: str) -> None:
        """Refuse a request whose body is not read, so that nothing else can come on its connection."""
        self.close_connection = True
        self._send(status, json.dumps({"error": words}).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """As JSON, what the library itself refuses."""
        self._refuse(code, message or explain or self.responses.get(code, ("refused", ""))[0])

    def log_message(self, format: str, *args: object) -> None:
        """Do nothing: there are thousands of requests."""
