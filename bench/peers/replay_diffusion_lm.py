#!/usr/bin/env python3
"""Repeats in PyTorch the training steps of diffusion_lm that `haze train --record N` kept, and compares the losses.

Exit status: 0 they agree, 1 they do not, or there is nothing to compare, 2 wrong usage.
"""

import argparse
import math
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from memory import peak_memory, reset_peak_memory
from model import Block, DenoiserConfig, TimeEmbedding, layer_norm
from training import adamw


class TwoLayers(nn.Module):
    """linear - tanh - linear, under haze's names."""

    def __init__(self, into: int, hidden: int, out: int, names: tuple[str, str]):
        super().__init__()
        self.names = names
        self.add_module(names[0], nn.Linear(into, hidden))
        self.add_module(names[1], nn.Linear(hidden, out))

    def forward(self, x: Tensor) -> Tensor:
        first, second = (getattr(self, name) for name in self.names)
        return second(torch.tanh(first(x)))


class Stack(nn.Module):
    """A post-norm transformer over vectors, with learned positions and the time added."""

    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.position_embedding = nn.Embedding(config.max_length, config.hidden)
        self.time_embedding = TimeEmbedding(config.hidden)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.embedding_norm = layer_norm(config)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x [batch, length, hidden], t [batch] in [0, 1]."""
        x = x + self.position_embedding(torch.arange(x.shape[1])) + self.time_embedding(t)[:, None]
        x = self.embedding_norm(x)
        for block in self.blocks:
            x = block(x, None, None)
        return x


@dataclass
class Noise:
    """alpha_bar and 1 - alpha_bar of the schedule, float64 [T + 1]; index 0 is x_0."""

    alpha_bar: Tensor
    noise: Tensor

    @staticmethod
    def sqrt_schedule(steps: int) -> "Noise":
        root = [math.sqrt(t / steps + 1e-4) for t in range(steps + 1)]
        log_alpha_bar, logs = 0.0, [0.0]
        for t in range(1, steps + 1):
            beta = min((root[t] - root[t - 1]) / (1 - root[t - 1]), 0.999)
            log_alpha_bar += math.log1p(-beta)
            logs.append(log_alpha_bar)
        logs = torch.tensor(logs, dtype=torch.float64)
        return Noise(logs.exp(), -torch.expm1(logs))


class DiffusionLm(nn.Module):
    """haze's diffusion_lm with padding modelled."""

    def __init__(self, settings: dict, weights: dict):
        super().__init__()
        own, network = settings["diffusion_lm"], settings["transformer"]
        words, dimension = weights["embedding.weight"].shape
        config = DenoiserConfig(vocabulary=words, layers=network["layers"], hidden=network["hidden"],
                                heads=network["heads"], mlp_ratio=network["mlp_ratio"],
                                max_length=settings["data"]["max_length"], norm="post")
        self.own, self.schedule = own, Noise.sqrt_schedule(own["steps"])
        self.sigma_0 = math.sqrt(self.schedule.noise[1].item())
        self.embedding = nn.Embedding(words, dimension)
        self.input = TwoLayers(dimension, config.hidden, config.hidden, ("first", "second"))
        self.transformer = Stack(config)
        vector = own["output"] == "vector"
        self.output = (TwoLayers(config.hidden, config.hidden, dimension, ("first", "last")) if vector
                       else nn.Linear(config.hidden, words))
        if own["rounding"] == "linear":
            self.rounding = nn.ParameterDict({"bias": nn.Parameter(torch.zeros(words))})
        self.load_state_dict(weights)

    def table(self) -> Tensor:
        weight = self.embedding.weight
        if self.own["embedding_norm"] == "free":
            return weight
        return weight / (weight.square().mean(dim=1, keepdim=True) + 1e-12).sqrt()

    def rounding_logits(self, x_0: Tensor, table: Tensor) -> Tensor:
        if self.own["rounding"] == "linear":
            return x_0 @ table.T + self.rounding["bias"]
        return log_likelihood(x_0, table, torch.ones(1), torch.full((1,), self.sigma_0))

    def forward(self, step: "Step") -> Tensor:
        """The loss of a batch."""
        table = self.table()
        alpha_bar, noise = (values[step.t][:, None, None] for values in (self.schedule.alpha_bar, self.schedule.noise))
        embedded = table[step.ids]
        x_0 = embedded + self.sigma_0 * step.x_0_noise
        x_t = alpha_bar.sqrt().float() * x_0 + noise.sqrt().float() * step.x_t_noise
        hidden = self.transformer(self.input(x_t), step.t / self.own["steps"])
        output = self.output(hidden)
        if self.own["output"] == "vector":
            target = torch.where(step.t[:, None, None] == 1, embedded, x_0)
            first = (output - target).square().mean()
        else:
            if self.own["output"] == "words-with-likelihood":
                sigma = (noise + alpha_bar * self.sigma_0 ** 2).sqrt().float()
                output = output + log_likelihood(x_t, table, alpha_bar.sqrt().float(), sigma)
            first = functional.cross_entropy(output.flatten(0, 1), step.ids.flatten())
        prior = x_0.square().mean() * self.schedule.alpha_bar[-1].item()
        rounding = functional.cross_entropy(self.rounding_logits(x_0, table).flatten(0, 1), step.ids.flatten())
        return first + prior + rounding


def log_likelihood(x: Tensor, table: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """log N(x; alpha e, sigma^2 I) for each row e of the table, up to what is the same for all."""
    return (x * (alpha / sigma.square())) @ table.T - 0.5 * (alpha / sigma).square() * table.square().sum(dim=1)


@dataclass
class Step:
    ids: Tensor  # int64 [batch, length]
    t: Tensor  # int64 [batch], in 1..T
    x_0_noise: Tensor  # [batch, length, dimension]
    x_t_noise: Tensor
    learning_rate: float
    loss: float  # haze's


def read_step(tensors: dict, number: int) -> Step:
    part = {name: tensors[f"{number}.{name}"] for name in
            ("ids", "offsets", "t", "x_0_noise", "x_t_noise", "learning_rate", "loss")}
    batch = len(part["t"])
    if len(part["offsets"].diff().unique()) != 1:
        raise ValueError("texts differ in length; only diffusion_lm.padding modelled can be repeated")
    shape = (batch, len(part["ids"]) // batch)
    return Step(part["ids"].view(shape).long(), part["t"].long(), part["x_0_noise"].view(*shape, -1),
                part["x_t_noise"].view(*shape, -1), part["learning_rate"].item(), part["loss"].item())


def check_settings(settings: dict) -> None:
    if settings["model"] != "diffusion_lm":
        raise ValueError(f"model is {settings['model']}, and this program repeats diffusion_lm")
    needed = {"optimizer.kind": "adamw", "transformer.dropout": 0, "transformer.norm": "post",
              "transformer.time": "added", "transformer.positions": "learned", "diffusion_lm.schedule": "sqrt",
              "diffusion_lm.prediction": "x_0", "diffusion_lm.self_conditioning": False}
    for key, value in needed.items():
        section, name = key.split(".")
        if settings[section][name] != value:
            raise ValueError(f"{key} is {settings[section][name]}; only {value} can be repeated")


def replay(settings: dict, weights: dict, steps: list[Step], compiled: bool = False) -> tuple[list[float], float]:
    """The losses, and the seconds that they took."""
    model = DiffusionLm(settings, weights)
    optimizer = adamw(model, (settings["optimizer"]["beta1"], settings["optimizer"]["beta2"]),
                      settings["optimizer"]["epsilon"], settings["optimizer"]["weight_decay"], fused=True)
    forward = torch.compile(model) if compiled else model
    losses, start = [], time.perf_counter()
    for step in steps:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(step)
        loss.backward()
        if settings["optimizer"]["clip_norm"] > 0:
            nn.utils.clip_grad_norm_(model.parameters(), settings["optimizer"]["clip_norm"])
        for group in optimizer.param_groups:
            group["lr"] = step.learning_rate
        optimizer.step()
        losses.append(loss.item())
    return losses, time.perf_counter() - start


def print_speed(settings: dict, weights: dict, steps: list[Step]) -> None:
    for name, compiled in (("eager", False), ("compile", True)):
        replay(settings, weights, steps[:3], compiled)
        reset_peak_memory()
        seconds = min(replay(settings, weights, steps, compiled)[1] for _ in range(3))
        print(f"PyTorch {torch.__version__}, {name}, {torch.get_num_threads()} thread(s): "
              f"{len(steps) / seconds:.2f} steps/s, peak memory {peak_memory() / 2**20:,.0f} MiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run of haze train --record N")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest relative difference (1e-4)")
    parser.add_argument("--time", action="store_true", help="time the recorded steps as well")
    parser.add_argument("--threads", type=int, default=0, help="threads to compute with (PyTorch's choice)")
    arguments = parser.parse_args()
    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    folder = arguments.run / "recorded"
    try:
        settings = tomllib.loads((folder / "config.toml").read_text())
        check_settings(settings)
        tensors, weights = load_file(folder / "batches.safetensors"), load_file(folder / "initial.safetensors")
        steps = [read_step(tensors, number) for number in sorted({int(name.split(".")[0]) for name in tensors})]
        losses, _ = replay(settings, weights, steps)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        sys.exit(f"replay_diffusion_lm: {error}")
    except KeyError as error:
        sys.exit(f"replay_diffusion_lm: the recording has no {error}")
    differences = [abs(loss - step.loss) / abs(step.loss) for loss, step in zip(losses, steps)]
    print("step         haze      PyTorch   relative difference")
    for number, (loss, step, difference) in enumerate(zip(losses, steps, differences), start=1):
        print(f"{number:4d}  {step.loss:11.7f}  {loss:11.7f}   {difference:.2e}")
    print(f"largest relative difference: {max(differences):.2e}")
    if arguments.time:
        print_speed(settings, weights, steps)
    return 0 if max(differences) <= arguments.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
