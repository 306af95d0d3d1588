#!/usr/bin/env python3
"""Times training steps of haze's networks of points and images in PyTorch in one setting.

Network, noise, loss, clipping to 1 and AdamW are those of `haze bench step`. Prints a line of JSON for each repetition:
examples a second, and the peak of the memory that the process had in RAM after warming up and compiling.
"""

import argparse
import math
from typing import Callable

import torch
from torch import nn
from torch.nn import functional

import on_request
from memory import peak_memory, reset_peak_memory
from onednn import use_onednn
from training import adamw
from value_networks import MlpNetwork, UNet, UNetConfig

WARM_UP_STEPS = 5
SETTINGS = ["eager", "compile", "onednn", "compile+onednn", "one-thread", "compile+one-thread", "channels-last",
            "compile+channels-last"]


def make_network(example: list[int]) -> nn.Module:
    """That of haze's default settings."""
    return UNet(UNetConfig(image=tuple(example))) if len(example) == 3 else MlpNetwork(example[0], 128, 3)


def make_step(arguments: argparse.Namespace) -> Callable[[], None]:
    """A function that does one step."""
    network = make_network(arguments.example)
    x_0 = torch.randn(arguments.batch, *arguments.example)
    if "onednn" in arguments.setting:
        use_onednn(network)
    if "channels-last" in arguments.setting:
        network = network.to(memory_format=torch.channels_last)
        x_0 = x_0.contiguous(memory_format=torch.channels_last)
    optimizer = adamw(network, (0.9, 0.999), 1e-8, 0.01, fused=True)
    for group in optimizer.param_groups:
        group["lr"] = 1e-4

    def loss_of_batch() -> torch.Tensor:
        t = torch.rand(arguments.batch)
        noise = torch.randn_like(x_0)
        angle = (math.pi / 2 * t).view(-1, *[1] * len(arguments.example))
        return functional.mse_loss(network(angle.cos() * x_0 + angle.sin() * noise, t), noise)

    compute_loss = torch.compile(loss_of_batch) if "compile" in arguments.setting else loss_of_batch

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        compute_loss().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def extents(text: str) -> list[int]:
    return [int(extent) for extent in text.split(",")]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--example", type=extents, default=[2], help="2, or 1,16,16: its shape")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--setting", default="eager", choices=SETTINGS)
    parser.add_argument("--seconds", type=float, default=1.0, help="that a repetition takes at least")
    on_request.add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    count = 1 if "one-thread" in arguments.setting else arguments.threads
    if count > 0:
        torch.set_num_threads(count)
    torch.manual_seed(1)
    step = make_step(arguments)
    for _ in range(WARM_UP_STEPS):
        step()
    reset_peak_memory()

    def measure() -> dict:
        seconds = on_request.seconds_of(step, arguments.seconds)
        return {"examples_per_second": arguments.batch / seconds, "peak_bytes": peak_memory()}

    on_request.run(measure, arguments)


if __name__ == "__main__":
    main()
