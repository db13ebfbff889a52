"""The encoder itself as the network that learns: fine-tuned from its checkpoint, on rows of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from attar.errors import UsageError
from attar.nets import Count
from torch import Tensor, nn
from torch.nn import functional

from attar_text.encoders import own_pooling, pooled, transformer_parts
from attar_text.form import PoolingName
from attar_text.sequences import only_tokens

__all__ = ["EncoderNetwork", "Student"]


class EncoderNetwork(nn.Module):
    """A pretrained transformer and a fresh last layer; all of it is trained.

    It reads rows of input embeddings in units of their spread, puts the marks of a text's ends
    around them, and pools the last states. It has no dropout, whose draws nothing could repeat.

    Args:
        model: The transformer.
        marks: Embeddings of the marks before and after a text ``(2, width)``, or None.
        scale: Spread of the embeddings.
        pooling: What of the states becomes the vector of a text, as for :func:`pooled`.
        classes: Number of classes.
    """

    coupled = False
    marks: Tensor | None

    def __init__(
        self, model: nn.Module, marks: Tensor | None, scale: float, pooling: PoolingName, classes: int
    ) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("marks", marks, persistent=False)
        self._scale, self._pooling = scale, pooling
        config: Any = model.config
        self.head = nn.Linear(config.hidden_size, classes)
        self._freeze_unused(int(config.hidden_size) if marks is None else marks.shape[1])

    def _freeze_unused(self, width: int) -> None:
        """Leave alone what has no part in the answer, such as the table of embeddings."""
        own = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        vector = self.embed(self.head.weight.new_ones(1, 2, width)).sum()
        grads = torch.autograd.grad(vector, own, allow_unused=True)
        for parameter, grad in zip(own, grads, strict=True):
            parameter.requires_grad_(grad is not None)

    def _marked(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings in natural units with their marks, and which rows are tokens."""
        inputs, mask = only_tokens(inputs)
        rows = inputs * self._scale
        if self.marks is None:
            return rows, mask
        before, after = self.marks.to(rows)
        n, length = mask.shape
        places = torch.arange(1, length + 1, device=mask.device)
        # The mark after a text stands behind its last token.
        ends = functional.one_hot((places * mask).amax(1) + 1, length + 2).to(rows)
        empty = rows.new_zeros(n, 1, rows.shape[2])
        rows = torch.cat([before.expand(n, 1, -1), rows, empty], 1) + ends[:, :, None] * after
        sides = mask.new_ones(n, 1), mask.new_zeros(n, 1)
        return rows, torch.cat([sides[0], mask, sides[1]], 1) | ends.bool()

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the pooled states after each layer, each ``(n, width)``."""
        rows, mask = self._marked(inputs)
        given = mask.to(torch.int64)
        found = self.model(inputs_embeds=rows, attention_mask=given, output_hidden_states=True)
        return [pooled(states, given, self._pooling) for states in found.hidden_states[1:]]

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the pooled last states, ``(n, width)``."""
        rows, mask = self._marked(inputs)
        given = mask.to(torch.int64)
        return pooled(
            self.model(inputs_embeds=rows, attention_mask=given).last_hidden_state, given, self._pooling
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.head(self.embed(inputs))
        return logits


@dataclass(frozen=True)
class Student:
    """Builds :class:`EncoderNetwork` for the tokens of an encoder.

    Attributes:
        encoder: Folder or name of the encoder, which is at hand.
        pooling: What of the states becomes the vector of a text.
        scale: Spread of the embeddings: inputs are in units of it.
    """

    encoder: str
    pooling: PoolingName
    scale: float

    def __call__(self, feature: Sequence[int], classes: int, *, layers: Count = 1000) -> EncoderNetwork:
        """Return the encoder from its checkpoint with a fresh last layer.

        Args:
            feature: Shape of one sample, ``(length, width)``.
            classes: Number of classes.
            layers: Layers of the encoder that are kept, the first ones.

        Raises:
            UsageError: If samples are longer than the encoder takes.
        """
        folder, tokenizer, model = transformer_parts(self.encoder, layers)
        first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
        table = model.get_input_embeddings().weight
        marks = None if first is None or last is None else table[[first, last]].detach().clone()
        most = getattr(model.config, "max_position_embeddings", None)
        wanted = feature[0] + (0 if marks is None else 2)
        if most is not None and wanted > most:
            raise UsageError(
                f"the encoder {self.encoder!r} reads {most} tokens, and samples have {wanted} with the marks "
                f"of their ends; set data.length to {most - 2}"
            )
        pooling = own_pooling(folder) if self.pooling == "auto" else self.pooling
        return EncoderNetwork(model, marks, self.scale, pooling, classes)
