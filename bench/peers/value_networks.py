"""Haze's networks of points and images in PyTorch, with haze's parameter names: MLP and U-Net.

tests/nn/make_golden_unet.py holds the U-Net against haze's, number by number.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class TimeEmbedding(nn.Module):
    FREQUENCIES = 256

    def __init__(self, width: int):
        super().__init__()
        half = self.FREQUENCIES // 2
        exponents = torch.arange(half, dtype=torch.float64) / half
        self.register_buffer("frequencies", 1000 * torch.exp(-math.log(10000) * exponents), persistent=False)
        self.first = nn.Linear(self.FREQUENCIES, width)
        self.second = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies.to(t.dtype)
        waves = torch.cat([angles.cos(), angles.sin()], dim=1)
        return self.second(functional.silu(self.first(waves)))


class MlpNetwork(nn.Module):
    def __init__(self, width: int, hidden: int, layers: int):
        super().__init__()
        self.input = nn.Linear(width, hidden)
        self.time_embedding = TimeEmbedding(hidden)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.output = nn.Linear(hidden, width)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time_embedding(t)
        h = self.input(x)
        for layer in self.layers:
            h = functional.silu(layer(h) + time)
        return self.output(h)


@dataclass
class UNetConfig:
    image: tuple[int, int, int] = (1, 16, 16)  # channels, height, width
    outputs: int = 1
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 2
    attention: frozenset[int] = frozenset()  # heights
    heads: int = 1
    groups: int = 8

    @property
    def time_width(self) -> int:
        return 4 * self.width


class ResidualBlock(nn.Module):
    def __init__(self, config: UNetConfig, inputs: int, outputs: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(config.groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(config.time_width, outputs)
        self.norm2 = nn.GroupNorm(config.groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x))) + self.time(e)[:, :, None, None]
        return self.shortcut(x) + self.conv2(functional.silu(self.norm2(h)))


class ImageAttention(nn.Module):
    def __init__(self, config: UNetConfig, channels: int):
        super().__init__()
        self.heads = config.heads
        self.norm = nn.GroupNorm(config.groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        rows = self.norm(x).flatten(2).transpose(1, 2)  # [batch, pixels, channels]
        heads = self.qkv(rows).view(batch, height * width, 3, self.heads, channels // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        rows = self.output(mixed.reshape(batch, height * width, channels))
        return x + rows.transpose(1, 2).reshape(x.shape)


class Stage(nn.Module):
    def __init__(self, config: UNetConfig, inputs: int, outputs: int, attention: bool):
        super().__init__()
        self.block = ResidualBlock(config, inputs, outputs)
        self.attention = ImageAttention(config, outputs) if attention else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        return self.attention(self.block(x, e))


class Upsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))


class UNet(nn.Module):
    """Ho et al. 2020, appendix B."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        channels, height, _ = config.image
        self.time_embedding = TimeEmbedding(config.time_width)
        self.input = nn.Conv2d(channels, config.width, 3, padding=1)
        widths = [config.width * multiplier for multiplier in config.multipliers]
        attention = [height >> level in config.attention for level in range(len(widths))]
        inputs, skips = config.width, [config.width]
        self.down, self.up = nn.ModuleDict(), nn.ModuleDict()
        for level, width in enumerate(widths):
            part = self.down[str(level)] = nn.ModuleDict()
            for block in range(config.blocks):
                part[str(block)] = Stage(config, inputs, width, attention[level])
                inputs = width
                skips.append(width)
            if level + 1 < len(widths):
                part["downsample"] = nn.Conv2d(width, width, 3, stride=2, padding=1)
                skips.append(width)
        self.middle = nn.ModuleList(Stage(config, inputs, inputs, attends) for attends in (True, False))
        for level in reversed(range(len(widths))):
            part = self.up[str(level)] = nn.ModuleDict()
            for block in range(config.blocks + 1):
                part[str(block)] = Stage(config, inputs + skips.pop(), widths[level], attention[level])
                inputs = widths[level]
            if level > 0:
                part["upsample"] = Upsample(inputs)
        self.output_norm = nn.GroupNorm(config.groups, inputs)
        self.output = nn.Conv2d(inputs, config.outputs * channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        e = functional.silu(self.time_embedding(t))
        h = self.input(x)
        skips = [h]
        for part in self.down.values():
            for name, module in part.items():
                h = module(h) if name == "downsample" else module(h, e)
                skips.append(h)
        for stage in self.middle:
            h = stage(h, e)
        for part in self.up.values():
            for name, module in part.items():
                h = module(h) if name == "upsample" else module(torch.cat([h, skips.pop()], dim=1), e)
        return self.output(functional.silu(self.output_norm(h)))
