"""Services of rewards on the loopback address, whose answers tests choose."""

from __future__ import annotations

import base64
import io
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tts.rewards.brightness import Brightness

Answer = tuple[int, bytes] | None
"""Status and body; None: the connection is dropped."""


@contextmanager
def serving(answer: Callable[[str, bytes], Answer]) -> Iterator[str]:
    """The address of a server that answers ``(path, body)``; a GET has an empty body."""

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
    """An answer in JSON."""
    return 200, json.dumps(value).encode()


def as_pickle(value: Any) -> Answer:
    """A pickled answer."""
    return 200, pickle.dumps(value)


HEALTH = {"protocol": 1, "identity": "brightness-1"}


def scored(body: bytes) -> dict[str, Any]:
    """The answer of ``tts-bench serve`` with the brightness of the images."""
    given = json.loads(body)["images"]
    scores = [{"id": each["id"], "score": _brightness(each["png"])} for each in given]
    return {"identity": "brightness-1", "scores": scores}


def brightness_service(path: str, body: bytes) -> Answer:
    """A service that scores by brightness."""
    return as_json(HEALTH if path == "/health" else scored(body))


def _brightness(png: str) -> float | None:
    import numpy as np
    import torch
    from PIL import Image

    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))
    return Brightness().load().score(torch.from_numpy(pixels).permute(2, 0, 1)[None], [""])[0]
