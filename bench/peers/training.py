"""One training step: a padded batch, the masked cross-entropy, clipping and AdamW."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

PAD = 0


@dataclass
class Batch:
    """Sequences, some of their tokens masked, padded to the longest."""

    x_t: Tensor  # int64 [batch, length]
    present: Tensor | None  # bool [batch, length]; false: padding; None: there is none
    t: Tensor | None  # float32 [batch], where the denoiser depends on it
    places: Tensor  # int64 [n]: the masked tokens, counted through [batch, length] row by row
    targets: Tensor  # int64 [n]
    weights: Tensor  # float32 [n]: the loss is the sum of weight times cross-entropy
    tokens: int  # without padding

    @property
    def padded_tokens(self) -> int:
        return self.x_t.numel()


def pad(ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Sequences laid end to end, and their lengths -> ids and present, both [batch, length]."""
    present = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
    padded = torch.full(present.shape, PAD, dtype=torch.int64)
    padded[present] = ids.long()
    return padded, present


PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def autocast(precision: torch.dtype) -> torch.autocast:
    """Nothing for float32."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16)


def cross_entropies(model: nn.Module, batch: Batch) -> Tensor:
    """-log p(x_0 | x_t) of each masked token, in nats: [n]."""
    logits = model(batch.x_t, batch.present, batch.t, batch.places)
    return functional.cross_entropy(logits, batch.targets, reduction="none")


def masked_loss(model: nn.Module, batch: Batch) -> Tensor:
    return (batch.weights * cross_entropies(model, batch)).sum()


def adamw(model: nn.Module, betas: tuple[float, float], epsilon: float, weight_decay: float,
          fused: bool = False) -> torch.optim.AdamW:
    """AdamW that decays matrices, but not biases and the gains of norms."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=epsilon, fused=fused)


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, learning_rate: float,
               clip_norm: float, precision: torch.dtype = torch.float32) -> float:
    """Changes the weights once; the loss before. A clip_norm of 0 is no limit. Weights are float32; `precision`
    bfloat16 is that of autocast."""
    optimizer.zero_grad(set_to_none=True)
    with autocast(precision):
        loss = masked_loss(model, batch)
    loss.backward()
    if clip_norm > 0:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    return loss.item()
