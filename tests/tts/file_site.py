"""A web server on this machine with one file; its connections may break."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 400


@dataclass
class Site:
    """A web server with one file.

    Args:
        cuts: number of bytes after which each connection breaks; connections after the last entry do not break.
        ranges: whether it can send the rest of a file.
        version: name of the file's version.
        moved: address to which a file called ``moved.pkl`` leads on.
        asked: first byte that each connection asked for; None for the whole file.
    """

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    version: str = '"1"'
    length: bool = True
    asked: list[int | None] = field(default_factory=list)
    url: str = ""
    moved: str = ""


class Handler(BaseHTTPRequestHandler):
    """Answers for a site."""

    site: Site

    def do_GET(self) -> None:
        site, wanted = self.site, re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        site.asked.append(int(wanted[1]) if wanted else None)
        if self.path.endswith("/moved.pkl"):
            self.send_response(302)
            self.send_header("Location", site.moved)
            return self.end_headers()
        if not self.path.endswith(".pkl"):
            return self.send_error(404)
        current = self.headers.get("If-Range", site.version) == site.version
        start = int(wanted[1]) if wanted and site.ranges and current else 0
        if start and start >= len(site.content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        if site.length:
            self.send_header("Content-Length", str(len(site.content) - start))
        self.send_header("ETag", site.version)
        self.end_headers()
        stop = start + site.cuts.pop(0) if site.cuts else len(site.content)
        self.wfile.write(site.content[start:stop])
        return None

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[Site]:
    """The server, while it runs."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_port}/some/network.pkl"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()
