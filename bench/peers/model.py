"""Haze's denoiser in PyTorch, with haze's parameter names.

model.safetensors of haze goes into Denoiser.load_state_dict as it is. The network works on padded batches
[batch, length], as PyTorch programs do; padding is not attended to.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass
class DenoiserConfig:
    vocabulary: int  # tokens that can be predicted; the mask is the id after the last
    layers: int = 4
    hidden: int = 256
    heads: int = 8
    mlp_ratio: int = 4
    max_length: int = 64
    norm: str = "pre"  # pre | post | adaptive
    positions: str = "learned"  # learned | rotary | sinusoidal

    @property
    def mask_id(self) -> int:
        return self.vocabulary


def sinusoidal_embedding(values: Tensor, width: int, max_period: float = 10000) -> Tensor:
    """values [count] -> [count, width]: cosines in the first half, sines in the second."""
    half = width // 2
    frequencies = max_period ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = values.double()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1).float()


def rotate(x: Tensor) -> Tensor:
    """Rotary positions for x [batch, heads, length, head_size]; pairs are (i, i + head_size / 2)."""
    half = x.shape[-1] // 2
    table = sinusoidal_embedding(torch.arange(x.shape[-2]), 2 * half)
    cosine, sine = table[:, :half], table[:, half:]
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (scale + 1) + shift


class SelfAttention(nn.Module):
    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.heads = config.heads
        self.rotary = config.positions == "rotary"
        self.qkv = nn.Linear(config.hidden, 3 * config.hidden)
        self.output = nn.Linear(config.hidden, config.hidden)

    def forward(self, x: Tensor, attended: Tensor | None) -> Tensor:
        batch, length, hidden = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, hidden // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [batch, heads, length, head_size]
        if self.rotary:
            query, key = rotate(query), rotate(key)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=attended)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, hidden))


class Mlp(nn.Module):
    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.approximation = "none" if config.norm == "post" else "tanh"
        self.up = nn.Linear(config.hidden, config.mlp_ratio * config.hidden)
        self.down = nn.Linear(config.mlp_ratio * config.hidden, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.gelu(self.up(x), approximate=self.approximation))


def layer_norm(config: DenoiserConfig) -> nn.LayerNorm:
    epsilon = 1e-12 if config.norm == "post" else 1e-5
    return nn.LayerNorm(config.hidden, eps=epsilon, elementwise_affine=config.norm != "adaptive")


class Block(nn.Module):
    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.placement = config.norm
        self.norm1 = layer_norm(config)
        self.attention = SelfAttention(config)
        self.norm2 = layer_norm(config)
        self.mlp = Mlp(config)
        if config.norm == "adaptive":
            self.modulation = nn.Linear(config.hidden, 6 * config.hidden)

    def forward(self, x: Tensor, attended: Tensor | None, condition: Tensor | None) -> Tensor:
        if self.placement == "pre":
            x = x + self.attention(self.norm1(x), attended)
            return x + self.mlp(self.norm2(x))
        if self.placement == "post":
            x = self.norm1(x + self.attention(x, attended))
            return self.norm2(x + self.mlp(x))
        # Per sequence, the same for all of its tokens: [batch, 1, hidden] each.
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(6, dim=-1)
        x = x + gate1 * self.attention(modulate(self.norm1(x), shift1, scale1), attended)
        return x + gate2 * self.mlp(modulate(self.norm2(x), shift2, scale2))


class TimeEmbedding(nn.Module):
    FREQUENCIES = 256

    def __init__(self, hidden: int):
        super().__init__()
        self.first = nn.Linear(self.FREQUENCIES, hidden)
        self.second = nn.Linear(hidden, hidden)

    def forward(self, t: Tensor) -> Tensor:
        return self.second(functional.silu(self.first(sinusoidal_embedding(1000 * t, self.FREQUENCIES))))


class Transformer(nn.Module):
    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocabulary + 1, config.hidden)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.max_length, config.hidden)
        if config.norm == "adaptive":
            self.time_embedding = TimeEmbedding(config.hidden)
            self.final_modulation = nn.Linear(config.hidden, 2 * config.hidden)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        if config.norm == "post":
            self.embedding_norm = layer_norm(config)
        else:
            self.final_norm = layer_norm(config)

    def embed(self, ids: Tensor) -> Tensor:
        x = self.token_embedding(ids)
        places = torch.arange(ids.shape[1])
        if self.config.positions == "learned":
            x = x + self.position_embedding(places)
        if self.config.positions == "sinusoidal":
            x = x + sinusoidal_embedding(places, self.config.hidden)
        return self.embedding_norm(x) if self.config.norm == "post" else x

    def forward(self, ids: Tensor, present: Tensor | None, t: Tensor | None) -> Tensor:
        """ids and present (false: padding; None: there is none) [batch, length] -> [batch, length, hidden];
        t [batch] in [0, 1]."""
        attended = None if present is None else present[:, None, None, :]
        adaptive = self.config.norm == "adaptive"
        condition = functional.silu(self.time_embedding(t)) if adaptive else None
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, attended, condition)
        if self.config.norm == "post":
            return x
        x = self.final_norm(x)
        if not adaptive:
            return x
        shift, scale = self.final_modulation(condition)[:, None].chunk(2, dim=-1)
        return modulate(x, shift, scale)


class Denoiser(nn.Module):
    """p(x_0 | x_t) at the masked places; only these are projected onto the vocabulary."""

    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.head = nn.Linear(config.hidden, config.vocabulary)

    def forward(self, ids: Tensor, present: Tensor | None, t: Tensor | None, places: Tensor) -> Tensor:
        """Logits [n, vocabulary] at `places` [n], counted through the padded batch row by row."""
        hidden = self.transformer(ids, present, t)
        return self.head(hidden.flatten(0, 1)[places])

    def initialise(self) -> None:
        """Draws weights from the distributions that haze draws them from."""
        branch_gain = 1 / math.sqrt(2 * self.config.layers)
        for name, module in self.named_modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                gain = branch_gain if name.endswith(("attention.output", "mlp.down")) else 1
                gain = 0 if name.endswith("modulation") else gain
                bound = gain / math.sqrt(module.in_features)
                nn.init.uniform_(module.weight, -bound, bound)
                nn.init.zeros_(module.bias)
