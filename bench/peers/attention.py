#!/usr/bin/env python3
"""Times PyTorch's scaled_dot_product_attention, forward and backward, by its fastest backend for each."""

import argparse

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

import on_request

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "math": SDPBackend.MATH}


class Problem:
    def __init__(self, arguments: argparse.Namespace):
        shape = (arguments.batch, arguments.heads, arguments.length, arguments.head_size)
        self.inputs = [torch.randn(shape, requires_grad=True) for _ in range(3)]
        self.gradient = torch.randn(shape)

    def forward(self) -> torch.Tensor:
        return scaled_dot_product_attention(*self.inputs)

    def times(self, backend: SDPBackend) -> dict:
        with sdpa_kernel(backend):
            with torch.no_grad():
                forward = on_request.seconds_of(self.forward)
            output = self.forward()
            backward = on_request.seconds_of(
                lambda: torch.autograd.grad(output, self.inputs, self.gradient, retain_graph=True))
        return {"forward": forward, "backward": backward}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("batch", 32), ("heads", 8), ("length", 512), ("head-size", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    on_request.add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    problem = Problem(arguments)
    first = {name: problem.times(backend) for name, backend in BACKENDS.items()}
    fastest = {part: min(first, key=lambda name: first[name][part]) for part in ("forward", "backward")}

    def measure() -> dict:
        times = {name: problem.times(BACKENDS[name]) for name in set(fastest.values())}
        return {part: times[name][part] for part, name in fastest.items()} | {
            f"{part}_backend": name for part, name in fastest.items()}

    on_request.run(measure, arguments)


if __name__ == "__main__":
    main()
