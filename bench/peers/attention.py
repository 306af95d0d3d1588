#!/usr/bin/env python3
"""Times PyTorch's scaled_dot_product_attention, forward and backward, by its fastest backend for each."""

import argparse
import time
from typing import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

import on_request

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "math": SDPBackend.MATH}


def seconds_of(work: Callable[[], object], at_least: float = 0.2) -> float:
    """Mean seconds of one call, over as many calls as take `at_least` seconds."""
    start = time.perf_counter()
    calls, elapsed = 0, 0.0
    while elapsed < at_least:
        work()
        calls += 1
        elapsed = time.perf_counter() - start
    return elapsed / calls


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
                forward = seconds_of(self.forward)
            output = self.forward()
            backward = seconds_of(
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
