"""Detectors of COCO's objects, from transformers or torchvision; none needs mmdet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tts.rewards.geneval.rules import Found

if TYPE_CHECKING:
    from torch import Tensor

ALIASES = {"computer mouse": "mouse", "tv remote": "remote", "computer keyboard": "keyboard"}
"""GenEval's names of classes that have other names in COCO."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet's pixels in [0, 1]."""
FITS = 32
"""Both sides of the input of transformers' networks are multiples of this."""
LONGEST = 1333
"""Most pixels of an image's longest side; it takes precedence over the size of the shortest side."""


class Detector(Protocol):
    """Finds objects in one image."""

    def __call__(self, image: Tensor) -> list[Found]:
        """All objects in ``[3, H, W]`` uint8, at any confidence."""
        ...


def ours(names: Mapping[int, str] | Sequence[str]) -> dict[int, str]:
    """GenEval's names of a detector's classes."""
    pairs = dict(names) if isinstance(names, Mapping) else dict(enumerate(names))
    back = {theirs: own for own, theirs in ALIASES.items()}
    return {int(number): back.get(name, name) for number, name in pairs.items()}


class SetDetector:
    """A network of transformers that predicts a set: Mask2Former, with masks, or DETR and YOLOS, with boxes.

    Args:
        size: pixels to which an image's shortest side is scaled; published figures use 800.
    """

    def __init__(self, network: Any, names: Mapping[int, str], size: int, device: str) -> None:
        self.network, self.names, self.size, self.device = network, ours(names), size, device

    def __call__(self, image: Tensor) -> list[Found]:
        pixels, (height, width) = self._prepared(image)
        outputs = self.network(pixel_values=pixels)
        if hasattr(outputs, "masks_queries_logits"):
            masks = _upscaled(outputs.masks_queries_logits, pixels.shape[2:])[:, :, :height, :width]
            masks = _upscaled(masks, image.shape[1:])[0]
            return self._by_masks(outputs.class_queries_logits[0], masks)
        scale = [side / image.shape[axis] for axis, side in ((2, width), (1, height))]
        boxes = _corners(outputs.pred_boxes[0].float()) * pixels.new_tensor(pixels.shape[:1:-1] * 2)
        return self._by_boxes(outputs.logits[0], boxes / boxes.new_tensor(scale * 2))

    def _prepared(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The input ``[1, 3, h, w]``, and the height and width of the image in it; the rest is padding."""
        from torch.nn.functional import interpolate, pad
        from torchvision.transforms.v2.functional import normalize

        sides = image.shape[1:]
        factor = min(self.size / min(sides), LONGEST / max(sides))
        height, width = (max(1, round(side * factor)) for side in sides)
        near = image[None].to(self.device).float()
        scaled = interpolate(near, (height, width), mode="bilinear", align_corners=False)
        pixels = normalize(scaled / 255, list(MEAN), list(STD))
        return pad(pixels, (0, -width % FITS, 0, -height % FITS)), (height, width)

    def _by_masks(self, logits: Tensor, masks: Tensor) -> list[Found]:
        """The likeliest (query, class) pairs, as many as there are queries; the confidence is the product of class and
        mask."""
        chances = logits.float().softmax(dim=-1)[:, :-1]
        values, places = chances.flatten().topk(len(chances))
        found = []
        for value, place in zip(values.tolist(), places.tolist(), strict=True):
            query, number = divmod(place, chances.shape[1])
            mask = masks[query] > 0
            if mask.any():
                inside = float(masks[query][mask].float().sigmoid().mean())
                found.append(Found(self.names[number], value * inside, _box(mask), mask))
        return found

    def _by_boxes(self, logits: Tensor, boxes: Tensor) -> list[Found]:
        """Each query's likeliest class."""
        scores, numbers = logits.float().softmax(dim=-1)[:, :-1].max(dim=-1)
        rows = zip(scores.tolist(), numbers.tolist(), boxes.tolist(), strict=True)
        return [Found(self.names[number], score, tuple(box)) for score, number, box in rows]


class TorchvisionDetector:
    """A torchvision detector, which scales images itself; Mask R-CNN has masks."""

    def __init__(self, network: Any, names: Sequence[str], device: str) -> None:
        self.network, self.names, self.device = network, ours(names), device

    def __call__(self, image: Tensor) -> list[Found]:
        [found] = self.network([image.to(self.device).float() / 255])
        masks = [mask[0] > 0.5 for mask in found["masks"]] if "masks" in found else [None] * len(found["boxes"])
        rows = zip(found["labels"].tolist(), found["scores"].tolist(), found["boxes"].tolist(), masks, strict=True)
        return [Found(self.names[label], score, tuple(box), mask) for label, score, box, mask in rows]


def _upscaled(masks: Tensor, sides: Sequence[int]) -> Tensor:
    from torch.nn.functional import interpolate

    return interpolate(masks.float(), tuple(sides), mode="bilinear", align_corners=False)


def _corners(boxes: Tensor) -> Tensor:
    """Boxes (centre, size) as (left, top, right, bottom)."""
    from torchvision.ops import box_convert

    found: Tensor = box_convert(boxes, "cxcywh", "xyxy")
    return found


def _box(mask: Tensor) -> tuple[float, float, float, float]:
    """The smallest box around the pixels of a mask; right and bottom are exclusive."""
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1
