"""Metrics that compare with real images: where these come from."""

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
    """A metric of one layer's features, against those of real images.

    Attributes:
        shipped: the reference that comes with this package, of the judge's pooled features.
        needed: what else may be named.
    """

    shipped: ClassVar[Path]
    needed: ClassVar[str]

    real: str | None = Field(
        None,
        alias="reference",
        description="real images, or moments of their features: file, folder or address; default: the judge's own",
    )

    def path(self) -> Path | None:
        """Where the reference lies, downloaded if needed; None: it is the shipped one.

        Raises:
            WeightsError: it cannot be fetched.
        """
        return None if self.real is None else locate(self.real, "reference")

    def identity(self) -> dict[str, Any]:
        """With the digest of the reference, not its path."""
        from tts.metrics.references.computed import digest

        path = self.path()
        found = weights_file.digest(self.shipped) if path is None else digest(path)
        return {**super().identity(), "reference": found}

    def _judge(self) -> str:
        """The digest of the judge, whose features the shipped reference is of."""
        if not isinstance(self.features, Judge) or self.layer != POOLED:
            raise SettingError(
                f"reference: is missing; for {self.layer} features of {self.features.family}, name {self.needed}"
            )
        return self.features.about().removeprefix(f"{Judge.family} ")


class ComparedByMoments(Compared):
    """A metric that needs no more of real images than mean and covariance of their features."""

    shipped: ClassVar = Judge.moments
    needed: ClassVar = "a file of moments (ADM's or EDM's .npz, EDM2's .pkl), or a folder or archive of real images"

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
        return load(self.shipped, self._judge())


class ComparedByImages(Compared):
    """A metric that needs the features of single real images."""

    shipped: ClassVar = Judge.rows
    needed: ClassVar = "a folder, a zip or tar archive, or an .npz (arr_0) of real images"

    real_images: int = Field(10_000, ge=2, description="of the reference that are looked at, drawn, at most")

    def check(self) -> None:
        """The reference has images."""
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
        """Features of real images, computed once."""
        from tts.metrics.references import computed

        path = self.path()
        if path is None:
            rows = load_rows(self.shipped, self._judge())
            return Manifold(rows[drawn(len(rows), self.real_images)])
        return Manifold(computed.vectors(path, self.features, self.layer, self.real_images))
