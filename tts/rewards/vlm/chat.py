"""A vision-language model on a device: questions about images, answers and their probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Inputs: TypeAlias = dict[str, Any]
"""The model's inputs, by name, for one question or several of the same form."""
V = TypeVar("V")


class Chat:
    """Asks a model of transformers about images, with the model's own chat template and image preparation.

    Args:
        model: generates texts or hidden states from a processor's inputs.
        processor: the model's own: its chat template, tokenizer and preparation of images.
        size: pixels of an image, ``{shortest_edge: fewest, longest_edge: most}``; None: the processor's.
    """

    def __init__(self, model: Any, processor: Any, device: str, size: dict[str, int] | None = None) -> None:
        self.model, self.processor, self.device = model, processor, device
        self._images = {} if size is None else {"images_kwargs": {"size": size}}

    def question(self, images: Sequence[Tensor], text: str) -> Inputs:
        """A user's turn: images ``[3, H, W]`` uint8, then a text, followed by the start of the model's answer."""
        content = [*({"type": "image"} for _ in images), {"type": "text", "text": text}]
        turn = [{"role": "user", "content": content}]
        prompt = self.processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        given = {"text": [prompt], "images": [image.cpu() for image in images], "return_tensors": "pt"}
        return dict(self.processor(**given, **self._images))

    def of_each(self, images: Tensor, texts: Iterable[str]) -> list[Inputs]:
        """A :meth:`question` for each image of ``[B, 3, H, W]``, with its own text."""
        return [self.question([image], text) for image, text in zip(images, texts, strict=True)]

    def each(self, questions: Sequence[Inputs], ask: Callable[[Inputs], Sequence[V]]) -> list[V]:
        """Answers to the questions, in their order.

        Questions of the same form share a forward pass without padding, so that no answer depends on the others. On a
        CPU, whose kernels let a row depend on its position, each question runs alone.
        """
        found: dict[int, V] = {}
        for places in self._alike(questions):
            merged = self._merged([questions[place] for place in places])
            found |= dict(zip(places, ask(merged), strict=True))
        return [found[place] for place in range(len(questions))]

    def _alike(self, questions: Sequence[Inputs]) -> Iterator[list[int]]:
        groups: dict[Any, list[int]] = {}
        for place, inputs in enumerate(questions):
            form = tuple((name, tuple(value.shape)) for name, value in sorted(inputs.items()))
            alone = place if self.device == "cpu" else None
            groups.setdefault((form, str(inputs.get("image_grid_thw")), alone), []).append(place)
        yield from groups.values()

    def _merged(self, questions: Sequence[Inputs]) -> Inputs:
        import torch

        return {name: torch.cat([each[name] for each in questions]).to(self.device) for name in questions[0]}

    def chances(self, inputs: Inputs, answer: Sequence[int]) -> list[float]:
        """Probability of an answer to each question: the geometric mean over its tokens, each given those before it."""
        import torch

        tokens = torch.tensor(answer, device=self.device)
        rows = len(inputs["input_ids"])
        more = tokens[:-1].expand(rows, -1)
        longer = {name: _longer(name, value, more) for name, value in inputs.items()}
        logits = self.model(**longer).logits[:, -len(answer) :].double()
        each = logits.log_softmax(dim=-1).gather(2, tokens.expand(rows, -1)[..., None])[..., 0]
        values: list[float] = each.mean(dim=1).exp().tolist()
        return values

    def answers(self, inputs: Inputs, tokens: int) -> list[str]:
        """The greedy answer to each question, of at most ``tokens`` tokens."""
        found = self.model.generate(
            **inputs, max_new_tokens=tokens, do_sample=False, temperature=None, top_p=None, top_k=None
        )
        texts: list[str] = self.processor.batch_decode(
            found[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return texts


def _longer(name: str, value: Any, more: Any) -> Any:
    """An input, extended for more tokens after the questions if it has an entry for each token."""
    import torch

    if name == "input_ids":
        return torch.cat([value, more], dim=1)
    if name == "attention_mask":
        return torch.cat([value, torch.ones_like(more)], dim=1)
    if name == "mm_token_type_ids":
        return torch.cat([value, torch.zeros_like(more)], dim=1)
    return value
