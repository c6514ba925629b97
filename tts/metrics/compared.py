"""Metrics that compare with real images, and where these images come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from tts.errors import SettingError
from tts.files import weights_file
from tts.files.locate import locate
from tts.metrics.extractors.base import POOLED
from tts.metrics.extractors.judge import Judge
from tts.metrics.neighbours import Manifold
from tts.metrics.on_features import OnFeatures
from tts.metrics.references.sample import drawn
from tts.training.frechet import Moments, load, load_rows


class Compared(OnFeatures):
    """A metric that compares one layer's features with those of real images.

    Attributes:
        shipped: path of the reference that comes with this package, for the judge's pooled features.
        needed: other references that may be named, in words.
    """

    shipped: ClassVar[Path]
    needed: ClassVar[str]

    real: str | None = Field(
        None,
        alias="reference",
        description="real images, or moments of their features: file, folder or address; default: the judge's own",
    )

    def path(self) -> Path | None:
        """Path of the reference, downloaded if needed; None for the shipped one.

        Raises:
            WeightsError: the reference cannot be downloaded.
        """
        return None if self.real is None else locate(self.real, "reference")

    def identity(self) -> dict[str, Any]:
        """The identity with the digest of the reference, not its path."""
        from tts.metrics.references.computed import digest

        path = self.path()
        found = weights_file.digest(self.shipped) if path is None else digest(path)
        return {**super().identity(), "reference": found}

    def _judge(self) -> str:
        """The digest of the judge, which made the features of the shipped reference."""
        if not isinstance(self.features, Judge) or self.layer != POOLED:
            raise SettingError(
                f"reference: is missing; for {self.layer} features of {self.features.family}, name {self.needed}"
            )
        return self.features.about().removeprefix(f"{Judge.family} ")


class ComparedByMoments(Compared):
    """A metric that needs only the mean and covariance of real images' features."""

    shipped: ClassVar = Judge.moments
    needed: ClassVar = "a file of moments (ADM's or EDM's .npz, EDM2's .pkl), or a folder or archive of real images"

    def check(self) -> None:
        """Check that the reference exists, and that a file of moments is for the same extractor."""
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
        """Moments from the file, or computed once from all images."""
        from tts.metrics.references import computed, published

        path = self.path()
        if path is None:
            return self._shipped()
        if published.has_moments(path):
            return published.moments(path, self.features, self.layer)
        return computed.moments(path, self.features, self.layer)

    def _shipped(self) -> Moments:
        return load(self.shipped, self._judge())


class ComparedByImages(Compared):
    """A metric that needs the features of each real image."""

    shipped: ClassVar = Judge.rows
    needed: ClassVar = "a folder, a zip or tar archive, or an .npz (arr_0) of real images"

    real_images: int = Field(10_000, ge=2, description="of the reference that are looked at, drawn, at most")

    def check(self) -> None:
        """Check that the reference has images."""
        from tts.metrics.references import images

        super().check()
        path = self.path()
        if path is None:
            self._judge()
            weights_file.digest(self.shipped)
        else:
            with images.opened(path):
                pass

    def reference(self) -> Manifold:
        """The manifold of real images' features, computed once."""
        from tts.metrics.references import computed

        path = self.path()
        if path is None:
            rows = load_rows(self.shipped, self._judge())
            return Manifold(rows[drawn(len(rows), self.real_images)])
        return Manifold(computed.vectors(path, self.features, self.layer, self.real_images))
