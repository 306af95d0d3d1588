#!/usr/bin/env python3
"""Times training steps, or forward passes alone, of haze's denoiser in PyTorch in one setting.

The network, the loss (MDLM, log-linear), clipping to 1 and AdamW are those of `haze bench step`; texts are
random tokens without padding. Prints a line of JSON for each repetition: tokens a second, and the peak of the
memory that the process had in RAM after warming up and compiling.
"""

import argparse
from dataclasses import replace
from typing import Callable

import torch

import on_request
from memory import peak_memory, reset_peak_memory
from model import Denoiser, DenoiserConfig
from onednn import use_onednn
from training import PRECISIONS, Batch, adamw, autocast, train_step
from yardstick import draw_batch, draw_times

WARM_UP_STEPS = 3
BATCHES = 8


def project_all(batch: Batch, targets: torch.Tensor) -> Batch:
    """The same loss from the logits of all positions: those that are not masked weigh 0."""
    weights = torch.zeros(targets.numel())
    weights[batch.places] = batch.weights
    return replace(batch, places=torch.arange(targets.numel()), targets=targets, weights=weights)


def make_batches(arguments: argparse.Namespace) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    batches = []
    for _ in range(BATCHES):
        texts = torch.randint(arguments.vocabulary, (arguments.batch, arguments.length), generator=generator)
        batch = draw_batch(list(texts), draw_times(arguments.batch, generator), arguments.vocabulary, generator)
        batch.weights /= batch.tokens
        batch.present = None
        batches.append(project_all(batch, texts.flatten()) if arguments.projected == "all" else batch)
    return batches


def make_work(arguments: argparse.Namespace) -> Callable[[], object]:
    """A function that does one step."""
    denoiser = Denoiser(DenoiserConfig(vocabulary=arguments.vocabulary, layers=arguments.layers,
                                       hidden=arguments.hidden, heads=arguments.heads,
                                       max_length=arguments.length))
    denoiser.initialise()
    if "onednn" in arguments.setting:
        use_onednn(denoiser)
    # The number of masked tokens is another in each batch.
    dynamic = arguments.projected == "masked"
    model = torch.compile(denoiser, dynamic=dynamic) if "compile" in arguments.setting else denoiser
    precision = PRECISIONS[arguments.precision]
    batches = make_batches(arguments)
    if arguments.work == "forward":
        def forward() -> None:
            batch = batches[0]
            with torch.no_grad(), autocast(precision):
                model(batch.x_t, batch.present, batch.t, batch.places)
        return forward
    optimizer = adamw(denoiser, (0.9, 0.999), 1e-8, 0.01, fused=True)

    def train() -> None:
        batches.append(batches.pop(0))
        train_step(model, optimizer, batches[-1], 1e-4, 1.0, precision)
    return train


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default in (("layers", 4), ("hidden", 256), ("heads", 8), ("vocabulary", 2000), ("length", 64),
                          ("batch", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--setting", default="eager", choices=["eager", "compile", "onednn", "compile+onednn"])
    parser.add_argument("--projected", default="masked", choices=["all", "masked"],
                        help="positions that are projected onto the vocabulary")
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--work", default="training", choices=["training", "forward"])
    parser.add_argument("--seconds", type=float, default=1.0, help="that a repetition takes at least")
    on_request.add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    work = make_work(arguments)
    for _ in range(WARM_UP_STEPS):
        work()
    reset_peak_memory()

    def measure() -> dict:
        seconds = on_request.seconds_of(work, arguments.seconds)
        return {"tokens_per_second": arguments.batch * arguments.length / seconds, "peak_bytes": peak_memory()}

    on_request.run(measure, arguments)


if __name__ == "__main__":
    main()
