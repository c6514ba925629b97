"""Metrics that compare with real images: where these come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tts.errors import SettingError
from tts.files.locate import locate
from tts.metrics.extractors.base import POOLED
from tts.metrics.extractors.judge import Judge
from tts.metrics.neighbours import Manifold
from tts.metrics.on_features import OnFeatures
from tts.training.frechet import Moments, load


class Compared(OnFeatures):
    """A metric of one layer's features, against those of real images."""

    real: str | None = Field(
        None,
        alias="reference",
        description="real images, or moments of their features: file, folder or address; left out: the judge's own",
    )

    def path(self) -> Path | None:
        """Where the reference lies, fetched first if need be; None: it is the shipped one.

        Raises:
            WeightsError: it cannot be fetched.
        """
        return None if self.real is None else locate(self.real, "reference")

    def identity(self) -> dict[str, Any]:
        """With the digest of the reference, wherever it lies."""
        from tts.files import weights_file
        from tts.metrics.references.computed import digest

        path = self.path()
        found = weights_file.digest(Judge.moments) if path is None else digest(path)
        return {**super().identity(), "reference": found}


class ComparedByMoments(Compared):
    """A metric that needs no more of real images than mean and covariance of their features."""

    def check(self) -> None:
        """The reference is there; a file of moments is of the same extractor."""
        from tts.metrics.references import images, published

        super().check()
        path = self.path()
        if path is None:
            self._shipped()
        elif published.has_moments(path):
            published.moments(path, self.features, self.layer)
        else:
            with images.opened(path):
                pass

    def reference(self) -> Moments:
        """Moments from the file, or of all images, computed once."""
        from tts.metrics.references import computed, published

        path = self.path()
        if path is None:
            return self._shipped()
        if published.has_moments(path):
            return published.moments(path, self.features, self.layer)
        return computed.moments(path, self.features, self.layer)

    def _shipped(self) -> Moments:
        if not isinstance(self.features, Judge) or self.layer != POOLED:
            raise SettingError(
                f"reference: is missing; for {self.layer} features of {self.features.family}, name a file of moments "
                "(ADM's or EDM's .npz, EDM2's .pkl), or a folder or archive of real images"
            )
        return load(Judge.moments, self.features.about().removeprefix(f"{Judge.family} "))


class ComparedByImages(Compared):
    """A metric that needs the features of single real images."""

    real_images: int = Field(10_000, ge=2, description="of the reference that are looked at, evenly spread, at most")

    def check(self) -> None:
        """The reference has images."""
        from tts.metrics.references import images

        super().check()
        with images.opened(self._images()):
            pass

    def reference(self) -> Manifold:
        """Features of real images, computed once."""
        from tts.metrics.references import computed

        return Manifold(computed.vectors(self._images(), self.features, self.layer, self.real_images))

    def _images(self) -> Path:
        path = self.path()
        if path is None:
            raise SettingError(
                "reference: is missing; name a folder, a zip or tar archive, or an .npz (arr_0) of real images"
            )
        return path
