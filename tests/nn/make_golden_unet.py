"""Writes tests/data/tiny_unet.safetensors: pip install torch==2.15.0 safetensors==0.8.0.

The PyTorch U-Net of bench/peers, in float64: random weights, two images (golden.x), two times (golden.t), and what the
network makes of them (golden.output). unet_test.cpp has the same configuration.
"""

import math
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(TESTS.parent / "bench" / "peers"))
from value_networks import UNet, UNetConfig  # noqa: E402


def randomise(model: nn.Module) -> None:
    """So that no weight or bias is zero and no gain is one because it starts so."""
    for name, parameter in model.named_parameters():
        is_gain = parameter.dim() == 1 and name.endswith("weight")
        deviation = 1 / math.sqrt(parameter[0].numel()) if parameter.dim() > 1 else 0.2
        nn.init.normal_(parameter, mean=1 if is_gain else 0, std=deviation)


torch.manual_seed(1)
unet = UNet(UNetConfig(image=(2, 8, 4), outputs=2, width=8, multipliers=(1, 2), blocks=1, attention=frozenset({4}),
                       heads=2, groups=4))
randomise(unet)
x = torch.randn(2, 2, 8, 4)
t = torch.tensor([0.25, 0.75])
weights = {name: parameter.detach().clone() for name, parameter in unet.named_parameters()}
with torch.no_grad():
    output = unet.double()(x.double(), t.double()).float()
path = TESTS / "data" / "tiny_unet.safetensors"
save_file(weights | {"golden.x": x, "golden.t": t, "golden.output": output}, path)
path.chmod(0o644)
print(f"wrote {path.name} with torch {torch.__version__}; output's standard deviation {output.std():.3f}")
