"""Writes tests/data/tiny_unet.safetensors: pip install torch==2.15.0 safetensors==0.8.0.

The U-Net of Ho et al. 2020, appendix B, written in PyTorch with haze's names: random weights, two images (golden.x),
two times (golden.t) and what the network makes of them (golden.output). unet_test.cpp has the same configuration.
"""

import math
import pathlib

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
CHANNELS, HEIGHT, WIDTH = 2, 8, 4
BASE, MULTIPLIERS, BLOCKS, HEADS, GROUPS, ATTENTION, OUTPUTS = 8, (1, 2), 1, 2, 4, {4}, 2
TIME = 4 * BASE


class TimeEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(256, TIME)
        self.second = nn.Linear(TIME, TIME)

    def forward(self, t: Tensor) -> Tensor:
        frequencies = torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float64) / 128)
        angles = 1000 * t.double()[:, None] * frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=1).float()
        return self.second(functional.silu(self.first(waves)))


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(TIME, outputs)
        self.norm2 = nn.GroupNorm(GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        h = h + self.time(functional.silu(e))[:, :, None, None]
        h = self.conv2(functional.silu(self.norm2(h)))
        return h + (self.shortcut(x) if hasattr(self, "shortcut") else x)


class Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        rows = self.norm(x).flatten(2).transpose(1, 2)
        heads = self.qkv(rows).view(batch, height * width, 3, HEADS, channels // HEADS).permute(2, 0, 3, 1, 4)
        scores = heads[0] @ heads[1].transpose(2, 3) / math.sqrt(channels // HEADS)
        mixed = (scores.softmax(dim=3) @ heads[2]).transpose(1, 2).reshape(batch, height * width, channels)
        return x + self.output(mixed).transpose(1, 2).reshape(x.shape)


class Stage(nn.Module):
    def __init__(self, inputs: int, outputs: int, attention: bool) -> None:
        super().__init__()
        self.block = ResidualBlock(inputs, outputs)
        if attention:
            self.attention = Attention(outputs)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.block(x, e)
        return self.attention(h) if hasattr(self, "attention") else h


class Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.time_embedding = TimeEmbedding()
        self.input = nn.Conv2d(CHANNELS, BASE, 3, padding=1)
        widths = [BASE * multiplier for multiplier in MULTIPLIERS]
        attention = [HEIGHT >> level in ATTENTION for level in range(len(widths))]
        last = len(widths) - 1
        inputs, skips = BASE, [BASE]
        self.down = nn.ModuleDict()
        for level, width in enumerate(widths):
            part = self.down[str(level)] = nn.ModuleDict()
            for block in range(BLOCKS):
                part[str(block)] = Stage(inputs, width, attention[level])
                inputs = width
                skips.append(width)
            if level != last:
                part["downsample"] = nn.Conv2d(width, width, 3, stride=2, padding=1)
                skips.append(width)
        self.middle = nn.ModuleList([Stage(inputs, inputs, True), Stage(inputs, inputs, False)])
        self.up = nn.ModuleDict()
        for level in reversed(range(len(widths))):
            part = self.up[str(level)] = nn.ModuleDict()
            for block in range(BLOCKS + 1):
                part[str(block)] = Stage(inputs + skips.pop(), widths[level], attention[level])
                inputs = widths[level]
            if level != 0:
                part["upsample"] = Upsample(inputs)
        self.output_norm = nn.GroupNorm(GROUPS, inputs)
        self.output = nn.Conv2d(inputs, OUTPUTS * CHANNELS, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        e = self.time_embedding(t)
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


def randomise(model: nn.Module) -> None:
    """So that no weight or bias is zero and no gain is one because it starts so."""
    for name, parameter in model.named_parameters():
        is_gain = parameter.dim() == 1 and name.endswith("weight")
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
        deviation = 1 / math.sqrt(fan_in) if parameter.dim() > 1 else 0.2
        nn.init.normal_(parameter, mean=1 if is_gain else 0, std=deviation)


torch.manual_seed(1)
unet = UNet()
randomise(unet)
x = torch.randn(2, CHANNELS, HEIGHT, WIDTH)
t = torch.tensor([0.25, 0.75])
with torch.no_grad():
    output = unet(x, t)
tensors = {name: parameter.detach() for name, parameter in unet.named_parameters()}
save_file(tensors | {"golden.x": x, "golden.t": t, "golden.output": output}, DATA / "tiny_unet.safetensors")
print(f"wrote tiny_unet with torch {torch.__version__}; output's standard deviation {output.std():.3f}")
