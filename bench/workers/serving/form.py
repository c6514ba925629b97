"""The form of requests to ``tts-bench serve``. A request is data: nothing in it is called, unpickled or believed."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import Field

from bench.workers.scorers.judge import Images
from tts.errors import SettingError
from tts.rewards.remote.formats import PROTOCOL
from tts.settings import Settings, parse

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_IMAGES = 256
"""Images in one request."""

MOST_PIXELS = 1 << 24
"""Pixels of one image: 4096 x 4096."""


class Refusal(Exception):
    """A request that is not answered: an HTTP status, and a sentence that says why."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class _Image(Settings):
    id: str = Field(max_length=200, description="names the image in the answer")
    png: str = Field(description="a PNG file in base64")
    caption: str = Field("", max_length=100_000, description="what the image should show")


class _Form(Settings):
    protocol: int = Field(description="version of this form")
    images: list[_Image] = Field(min_length=1, max_length=MOST_IMAGES, description="what is to be scored")


class Asked(NamedTuple):
    """Images of a request, each ``[3, H, W]`` uint8, with their names and captions."""

    ids: list[str]
    images: list[Images]
    captions: list[str]


def read(body: bytes, most_pixels: int) -> Asked:
    """What a request asks for.

    Args:
        most_pixels: of all its images together.

    Raises:
        Refusal: it has another form, or one of its images cannot be read.
    """
    form = _form(body)
    opened = [_opened(place, image.png) for place, image in enumerate(form.images)]
    pixels = sum(image.width * image.height for image in opened)
    if pixels > most_pixels:
        words = f"the images have {pixels} pixels, and {most_pixels} are the most"
        raise Refusal(413, f"{words}; send fewer images, or serve with more --megabytes")
    images = [_pixels(place, image) for place, image in enumerate(opened)]
    return Asked([image.id for image in form.images], images, [image.caption for image in form.images])


def _form(body: bytes) -> _Form:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "the request is no JSON") from None
    try:
        form = parse(_Form, content, "the request")
    except SettingError as error:
        raise Refusal(400, str(error)) from None
    if form.protocol != PROTOCOL:
        raise Refusal(400, f"the request has protocol {form.protocol}, but must have {PROTOCOL}")
    return form


def _opened(place: int, text: str) -> Image:
    """An 8-bit RGB image of which only the header is read: a small file may hold far more pixels than bytes.

    Of other kinds of PNG files none is made, for that would change what is scored.
    """
    from PIL import Image

    with _readable(place):
        image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"])
    if image.mode != "RGB":
        raise Refusal(400, f"images.{place}.png: a PNG file of 8-bit RGB is wanted, and this is {image.mode}")
    if image.width * image.height > MOST_PIXELS:
        raise Refusal(400, f"images.{place}.png: {image.width} x {image.height} are more than {MOST_PIXELS} pixels")
    return image


def _pixels(place: int, image: Image) -> Images:
    """An image's values; it is closed, as it holds a copy of them."""
    with _readable(place), closing(image):
        return np.ascontiguousarray(np.asarray(image, np.uint8).transpose(2, 0, 1))


@contextmanager
def _readable(place: int) -> Iterator[None]:
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except binascii.Error:
        raise Refusal(400, f"images.{place}.png: no base64") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise Refusal(400, f"images.{place}.png: no PNG file that can be read") from None
