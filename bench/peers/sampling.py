#!/usr/bin/env python3
"""Times samplers of masked diffusion in PyTorch with the weights of a model trained by haze.

Ancestral sampling as MDLM's public program does it: p(x_0 | x_t) is computed again only where a step has changed
the batch. First-hitting sampling reveals one token of every sentence a step and projects that place alone.
Prints a line of JSON for each repetition: sentences a second.
"""

import argparse
import time

import torch
from safetensors.torch import load_file
from torch import Tensor

import on_request
from model import Denoiser, DenoiserConfig
from training import PRECISIONS, autocast


def draw(logits: Tensor) -> Tensor:
    """A token a row, in float64: float32 would lose rare ones."""
    return torch.multinomial(logits.double().softmax(-1), 1)[:, 0]


def times_of(x: Tensor, t: float) -> Tensor:
    return torch.full((x.shape[0],), t)


def ancestral(model: Denoiser, x: Tensor, mask: int, steps: int) -> Tensor:
    """log-linear: from t = i / steps to (i - 1) / steps each masked token appears with probability 1 / i."""
    every_place = torch.arange(x.numel())
    logits = None
    for i in range(steps, 0, -1):
        appears = (x == mask) & (torch.rand(x.shape) < 1 / i)
        if logits is None:
            logits = model(x, None, times_of(x, i / steps), every_place)
        if not appears.any():
            continue
        places = appears.flatten().nonzero()[:, 0]
        x = x.flatten().index_copy(0, places, draw(logits[places])).view(x.shape)
        logits = None
    return x


def first_hitting(model: Denoiser, x: Tensor, mask: int) -> Tensor:
    order = torch.rand(x.shape).argsort(-1)
    t = torch.ones(x.shape[0])
    for i in range(x.shape[1]):
        t = t * torch.rand(t.shape) ** (1 / (x.shape[1] - i))
        places = torch.arange(x.shape[0]) * x.shape[1] + order[:, i]
        x = x.flatten().index_copy(0, places, draw(model(x, None, t, places))).view(x.shape)
    return x


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--weights", required=True, help="haze's parameters, as safetensors")
    for name, default in (("vocabulary", 853), ("layers", 4), ("hidden", 256), ("heads", 8), ("max-length", 96),
                          ("count", 1000), ("length", 64), ("steps", 64), ("batch", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--norm", default="pre")
    parser.add_argument("--positions", default="learned")
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--sampler", default="ancestral", choices=["ancestral", "first-hitting"])
    on_request.add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    config = DenoiserConfig(vocabulary=arguments.vocabulary, layers=arguments.layers, hidden=arguments.hidden,
                            heads=arguments.heads, max_length=arguments.max_length, norm=arguments.norm,
                            positions=arguments.positions)
    model = Denoiser(config).eval()
    model.load_state_dict(load_file(arguments.weights))

    def sample(count: int) -> None:
        x = torch.full((count, arguments.length), config.mask_id)
        with torch.inference_mode(), autocast(PRECISIONS[arguments.precision]):
            if arguments.sampler == "ancestral":
                ancestral(model, x, config.mask_id, arguments.steps)
            else:
                first_hitting(model, x, config.mask_id)

    sample(min(arguments.batch, 8))

    def measure() -> dict:
        start = time.perf_counter()
        for first in range(0, arguments.count, arguments.batch):
            sample(min(arguments.batch, arguments.count - first))
        return {"sentences_per_second": arguments.count / (time.perf_counter() - start)}

    on_request.run(measure, arguments)


if __name__ == "__main__":
    main()
