"""Linear layers through oneDNN, which PyTorch has on board but does not use for float32 training.

PyTorch's own choice, MKL, was measured at half of oneDNN's rate on an AMD processor with AVX-512; a peer should
not be held back by that.
"""

import torch
from torch import Tensor, nn


@torch.library.custom_op("haze_peers::product", mutates_args=())
def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [rows, in] weight [out, in]^T + bias -> [rows, out]."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@product.register_fake
def product_shape(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What torch.compile has to know of product."""
    return x.new_empty(x.shape[0], weight.shape[0])


class OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(context, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        context.save_for_backward(rows, weight)
        context.x_shape = x.shape
        return product(rows, weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, weight = context.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        x_gradient = product(gradient, weight.t().contiguous()).view(context.x_shape)
        weight_gradient = product(gradient.t().contiguous(), rows.t().contiguous())
        return x_gradient, weight_gradient, gradient.sum(dim=0)


def use_onednn(model: nn.Module) -> None:
    """Every nn.Linear of the model computes by OneDnnLinear from here on."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.forward = lambda x, layer=module: OneDnnLinear.apply(x, layer.weight, layer.bias)
