"""Repetitions that take turns with haze's."""

import argparse
import json
import sys
import time
from typing import Callable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's choice")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--on-request", action="store_true",
                        help="a repetition for each line of standard input (haze bench sends them)")


def seconds_of(work: Callable[[], object], at_least: float = 0.2) -> float:
    """Mean seconds of one call, over as many calls as take `at_least` seconds."""
    start = time.perf_counter()
    calls, elapsed = 0, 0.0
    while elapsed < at_least:
        work()
        calls += 1
        elapsed = time.perf_counter() - start
    return elapsed / calls


def run(measure: Callable[[], dict], arguments: argparse.Namespace) -> None:
    """Prints what each repetition gives, as a line of JSON. With --on-request, a first line says that everything
    is prepared."""
    if arguments.on_request:
        print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin if arguments.on_request else range(arguments.repetitions):
        print(json.dumps(measure()), flush=True)
