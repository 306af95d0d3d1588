#!/usr/bin/env python3
"""Trains a masked diffusion model in PyTorch as most people would, and reports its bound on test sentences.

Continuous time, log-linear schedule, antithetic times, each token masked by itself: Sahoo et al. 2024, "Simple
and effective masked diffusion language models", equation 10. The files hold E2E lines, "fields||sentence".
"""

import argparse
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from model import Denoiser, DenoiserConfig
from training import Batch, adamw, cross_entropies, pad, train_step

END, UNKNOWN, SPECIAL = 1, 2, 3  # id 0 is padding; words begin at 3
EARLIEST = 1e-9  # t = 0 masks nothing and has an infinite weight


def read_sentences(path: Path) -> list[list[str]]:
    sentences = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        if "||" not in line:
            raise ValueError(f'{path}:{number}: there is no "||" between the field values and the text')
        sentences.append(line.split("||", 1)[1].split())
        if not sentences[-1]:
            raise ValueError(f'{path}:{number}: there is no text after "||"')
    return sentences


def vocabulary_of(sentences: list[list[str]], min_count: int) -> dict[str, int]:
    counts = Counter(word for sentence in sentences for word in sentence)
    frequent = [word for word in counts if counts[word] >= min_count]
    frequent.sort(key=lambda word: (-counts[word], word.encode()))
    return {word: i for i, word in enumerate(frequent, start=SPECIAL)}


def encode(sentences: list[list[str]], vocabulary: dict[str, int], max_length: int) -> list[Tensor]:
    texts = [torch.tensor([vocabulary.get(word, UNKNOWN) for word in sentence] + [END])
             for sentence in sentences]
    longest = max(len(text) for text in texts)
    if longest > max_length:
        raise ValueError(f"a sentence has {longest} tokens; --max-length is {max_length}")
    return texts


def draw_times(count: int, generator: torch.Generator) -> Tensor:
    """Evenly spaced on a circle from one random start, so that each by itself is uniform in (0, 1)."""
    start = torch.rand((), generator=generator, dtype=torch.float64)
    return ((start + torch.arange(count) / count) % 1).clamp_min(EARLIEST)


def draw_batch(texts: list[Tensor], t: Tensor, mask_id: int, generator: torch.Generator) -> Batch:
    """x_t of each text, and 1 / t as the weight of each masked token."""
    x_0, present = pad(torch.cat(texts), torch.tensor([len(text) for text in texts]))
    masked = (torch.rand(x_0.shape, generator=generator, dtype=torch.float64) < t[:, None]) & present
    places = masked.flatten().nonzero().squeeze(1)
    weights = (1 / t)[:, None].expand(x_0.shape)[masked]
    return Batch(x_t=x_0.masked_fill(masked, mask_id), present=present, t=None, places=places,
                 targets=x_0[masked], weights=weights.float(), tokens=int(present.sum()))


def learning_rate_at(step: int, steps: int, warmup_steps: int, peak: float) -> float:
    if step <= warmup_steps:
        return peak * step / warmup_steps
    progress = (step - 1 - warmup_steps) / max(steps - warmup_steps, 1)
    return peak * (1 + math.cos(math.pi * progress)) / 2


def batches_of(texts: list[Tensor], size: int, generator: torch.Generator):
    """Batches of texts without end, in a new order each epoch; the last few of an epoch are left out."""
    while True:
        order = torch.randperm(len(texts), generator=generator).tolist()
        for first in range(0, len(order) - size + 1, size):
            yield [texts[i] for i in order[first:first + size]]


def train(model: Denoiser, texts: list[Tensor], arguments: argparse.Namespace,
          generator: torch.Generator) -> float:
    """Trains the model; the seconds it took."""
    optimizer = adamw(model, (0.9, 0.999), 1e-8, arguments.weight_decay, fused=True)
    stream = batches_of(texts, arguments.batch_size, generator)
    start = time.perf_counter()
    loss_sum = 0.0
    for step in range(1, arguments.steps + 1):
        chosen = next(stream)
        batch = draw_batch(chosen, draw_times(len(chosen), generator), model.config.mask_id, generator)
        batch.weights /= batch.tokens
        rate = learning_rate_at(step, arguments.steps, arguments.warmup_steps, arguments.learning_rate)
        loss_sum += train_step(model, optimizer, batch, rate, clip_norm=1.0)
        if step % 100 == 0 or step == arguments.steps:
            count = (step - 1) % 100 + 1
            print(f"step {step} of {arguments.steps}: loss {loss_sum / count:.4f}, "
                  f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
            loss_sum = 0.0
    return time.perf_counter() - start


@torch.no_grad()
def bound_of_pass(model: Denoiser, texts: list[Tensor], generator: torch.Generator) -> float:
    """One estimate of the bound of all texts together, in nats. Texts of like length share a batch."""
    t = draw_times(len(texts), generator)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    total = 0.0
    for first in range(0, len(order), 256):
        chosen = order[first:first + 256]
        batch = draw_batch([texts[i] for i in chosen], t[chosen], model.config.mask_id, generator)
        total += (batch.weights.double() * cross_entropies(model, batch).double()).sum().item()
    return total


def evaluate(model: Denoiser, texts: list[Tensor], passes: int,
             generator: torch.Generator) -> tuple[float, float]:
    """The bound in nats per token, the end token counted, and its standard error over the passes."""
    tokens = sum(len(text) for text in texts)
    estimates = torch.tensor([bound_of_pass(model, texts, generator) / tokens for _ in range(passes)],
                             dtype=torch.float64)
    return estimates.mean().item(), estimates.std().item() / math.sqrt(passes)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("train", type=Path, help="E2E file to train on")
    parser.add_argument("test", type=Path, help="E2E file to report the bound of")
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--warmup-steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=64, help="sentences")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--min-count", type=int, default=10, help="rarer words become the unknown word")
    parser.add_argument("--max-length", type=int, default=96, help="tokens, the end token counted")
    parser.add_argument("--passes", type=int, default=8, help="estimates of the bound, at least 2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's choice")
    parser.add_argument("--json", action="store_true", help="report in JSON")
    arguments = parser.parse_args()
    for name in ("steps", "batch_size", "layers", "hidden", "heads", "min_count", "max_length"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if arguments.passes < 2:
        parser.error("--passes must be at least 2")
    if arguments.hidden % arguments.heads != 0:
        parser.error("--heads must divide --hidden")
    return arguments


def read_data(arguments: argparse.Namespace) -> tuple[list[Tensor], list[Tensor], int]:
    """The texts to train on and to test on, and the number of types with pad, end and unknown."""
    train_sentences, test_sentences = read_sentences(arguments.train), read_sentences(arguments.test)
    if len(train_sentences) < arguments.batch_size:
        raise ValueError(f"{arguments.train} has {len(train_sentences)} sentences, fewer than a batch")
    if not test_sentences:
        raise ValueError(f"{arguments.test} has no sentences")
    vocabulary = vocabulary_of(train_sentences, arguments.min_count)
    return (encode(train_sentences, vocabulary, arguments.max_length),
            encode(test_sentences, vocabulary, arguments.max_length), len(vocabulary) + SPECIAL)


def main() -> int:
    arguments = parse_arguments()
    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    try:
        train_texts, test_texts, types = read_data(arguments)
    except (OSError, ValueError) as error:
        sys.exit(f"yardstick: {error}")
    model = Denoiser(DenoiserConfig(vocabulary=types, layers=arguments.layers, hidden=arguments.hidden,
                                    heads=arguments.heads, max_length=arguments.max_length))
    model.initialise()
    seconds = train(model, train_texts, arguments, generator)
    bound, error = evaluate(model, test_texts, arguments.passes, generator)
    if arguments.json:
        print(json.dumps({"types": types, "steps": arguments.steps, "training_seconds": seconds,
                          "nats_per_token": bound, "standard_error": error}, indent=2))
    else:
        print(f"{types} types, {arguments.steps} steps in {seconds:.0f} s")
        print(f"bound on {arguments.test.name}: {bound:.4f} +- {error:.4f} nats per token")
    return 0


if __name__ == "__main__":
    sys.exit(main())
