#!/usr/bin/env python3
"""Repeats in PyTorch the training steps that `haze train --record N` kept, and compares the losses.

Exit status: 0 they agree, 1 they do not, or there is nothing to compare, 2 wrong usage.
"""

import argparse
import json
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from model import Denoiser, DenoiserConfig
from onednn import use_onednn
from training import Batch, adamw, pad, train_step


@dataclass
class Step:
    batch: Batch
    learning_rate: float
    loss: float  # haze's


@dataclass
class Recording:
    settings: dict
    weights: dict
    steps: list[Step]


@dataclass
class Speed:
    mode: str
    seconds: float  # of one pass over all recorded steps
    tokens_per_second: float
    padded_tokens_per_second: float


def read_step(tensors: dict, number: int, adaptive: bool) -> Step:
    part = {name: tensors[f"{number}.{name}"] for name in
            ("x_t", "offsets", "time", "masked", "targets", "row_weights", "learning_rate", "loss")}
    x_t, present = pad(part["x_t"], part["offsets"].long().diff())
    place_of_row = present.flatten().nonzero().squeeze(1)
    batch = Batch(x_t=x_t, present=present, t=part["time"] if adaptive else None,
                  places=place_of_row[part["masked"].long()], targets=part["targets"].long(),
                  weights=part["row_weights"], tokens=len(place_of_row))
    return Step(batch, part["learning_rate"].item(), part["loss"].item())


def check_settings(settings: dict) -> None:
    if settings["optimizer"]["kind"] != "adamw":
        raise ValueError(f"optimizer.kind is {settings['optimizer']['kind']}; only adamw can be repeated")
    network = settings.get("transformer")
    if network is None or settings["model"] not in ("mdlm", "d3pm"):
        raise ValueError(f"model is {settings['model']}; only masked diffusion can be repeated")
    if network["dropout"] != 0:
        raise ValueError("transformer.dropout is not 0; what haze dropped is not recorded")
    if network["time"] not in ("none", "adaptive"):
        raise ValueError(f"transformer.time is {network['time']}; none and adaptive can be repeated")


def read_recording(folder: Path) -> Recording:
    settings = tomllib.loads((folder / "config.toml").read_text())
    check_settings(settings)
    tensors = load_file(folder / "batches.safetensors")
    numbers = sorted({int(name.split(".")[0]) for name in tensors})
    adaptive = settings["transformer"]["time"] == "adaptive"
    steps = [read_step(tensors, number, adaptive) for number in numbers]
    if not steps:
        raise ValueError(f"{folder / 'batches.safetensors'} holds no steps")
    return Recording(settings, load_file(folder / "initial.safetensors"), steps)


def make_model(recording: Recording) -> Denoiser:
    network = recording.settings["transformer"]
    adaptive = network["time"] == "adaptive"
    config = DenoiserConfig(vocabulary=recording.weights["head.weight"].shape[0], layers=network["layers"],
                            hidden=network["hidden"], heads=network["heads"], mlp_ratio=network["mlp_ratio"],
                            max_length=recording.settings["data"]["max_length"],
                            norm="adaptive" if adaptive else network["norm"],
                            positions=network["positions"])
    denoiser = Denoiser(config)
    denoiser.load_state_dict(recording.weights)
    return denoiser


def make_optimizer(recording: Recording, model: Denoiser, fused: bool = False) -> torch.optim.AdamW:
    settings = recording.settings["optimizer"]
    return adamw(model, (settings["beta1"], settings["beta2"]), settings["epsilon"],
                 settings["weight_decay"], fused)


def replay(recording: Recording) -> list[dict]:
    model = make_model(recording)
    optimizer = make_optimizer(recording, model)
    clip_norm = recording.settings["optimizer"]["clip_norm"]
    rows = []
    for number, step in enumerate(recording.steps, start=1):
        loss = train_step(model, optimizer, step.batch, step.learning_rate, clip_norm)
        difference = abs(loss - step.loss) / max(abs(step.loss), 1e-30)
        rows.append({"step": number, "haze": step.loss, "pytorch": loss, "relative_difference": difference})
    return rows


def measure(recording: Recording, mode: str, passes: int) -> Speed:
    """The fastest of some passes over the recorded steps, after one that warms up (and compiles)."""
    denoiser = make_model(recording)
    if "onednn" in mode:
        use_onednn(denoiser)
    model = torch.compile(denoiser, dynamic=True) if "compile" in mode else denoiser
    optimizer = make_optimizer(recording, denoiser, fused=True)
    clip_norm = recording.settings["optimizer"]["clip_norm"]
    times = []
    for _ in range(passes + 1):
        start = time.perf_counter()
        for step in recording.steps:
            train_step(model, optimizer, step.batch, step.learning_rate, clip_norm)
        times.append(time.perf_counter() - start)
    fastest = min(times[1:])
    tokens = sum(step.batch.tokens for step in recording.steps)
    padded_tokens = sum(step.batch.padded_tokens for step in recording.steps)
    return Speed(mode, fastest, tokens / fastest, padded_tokens / fastest)


def measure_all(recording: Recording, passes: int) -> list[Speed]:
    """Each mode that works on this machine, the plain one first."""
    speeds = [measure(recording, "eager", passes)]
    for mode in ("eager + onednn", "compile", "compile + onednn"):
        try:
            speeds.append(measure(recording, mode, passes))
        except Exception as error:  # these depend on a compiler and on parts that raise what they like
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            print(f"replay: {mode} does not work here: {reason}", file=sys.stderr)
    return speeds


def print_report(rows: list[dict], largest: float, speeds: list[Speed]) -> None:
    print("step         haze      PyTorch   relative difference")
    for row in rows:
        print(f"{row['step']:4d}  {row['haze']:11.7f}  {row['pytorch']:11.7f}   {row['relative_difference']:.2e}")
    for speed in speeds:
        print(f"PyTorch {torch.__version__}, {speed.mode}, {torch.get_num_threads()} thread(s): "
              f"{speed.tokens_per_second:,.0f} tokens/s "
              f"({speed.padded_tokens_per_second:,.0f} with padding counted)")
    print(f"largest relative difference: {largest:.2e}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run of haze train --record N")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest relative difference (1e-4)")
    parser.add_argument("--time", action="store_true", help="time the recorded steps as well")
    parser.add_argument("--passes", type=int, default=3, help="timed passes; the fastest counts (3)")
    parser.add_argument("--threads", type=int, default=0, help="threads to compute with (PyTorch's choice)")
    parser.add_argument("--json", action="store_true", help="report in JSON")
    arguments = parser.parse_args()
    if arguments.passes < 1:
        parser.error("--passes must be at least 1")
    if arguments.threads < 0:
        parser.error("--threads must not be negative")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    try:
        recording = read_recording(arguments.run / "recorded")
        rows = replay(recording)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        sys.exit(f"replay: {error}")
    except KeyError as error:
        sys.exit(f"replay: the recording has no {error}")
    largest = torch.tensor([row["relative_difference"] for row in rows]).max().item()  # NaN where one is
    speeds = measure_all(recording, arguments.passes) if arguments.time else []
    agrees = largest <= arguments.tolerance
    if arguments.json:
        print(json.dumps({"steps": rows, "largest_relative_difference": largest, "agrees": agrees,
                          "speeds": [asdict(speed) for speed in speeds]}, indent=2))
    else:
        print_report(rows, largest, speeds)
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
