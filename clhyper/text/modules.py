"""Adapters and LoRA of a T5, applied through hooks: transformers' code is neither forked nor changed."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clhyper.errors import require

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

Weights = dict[str, Tensor]
STACKS = ("encoder", "decoder")
ADAPTERS = ("attention_adapter", "feed_forward_adapter")
ADAPTER_TENSORS = ("down", "down_bias", "up", "up_bias", "scale", "shift")
LORA_TENSORS = ("a", "b")


def loras(stack: str) -> tuple[str, ...]:
    """The LoRA modules of a stack's layers; an encoder has no cross-attention."""
    return ("self_lora",) if stack == "encoder" else ("self_lora", "cross_lora")


def layers(t5: Any, stack: str) -> int:
    """How many layers a stack has."""
    return len(getattr(t5, stack).block)


def shapes(t5: Any, reduction: int = 32, rank: int = 8) -> dict[str, tuple[int, ...]]:
    """Shapes of all adapter and LoRA tensors, `STACK.MODULE.TENSOR` -> (layers, ...); rank 0: without LoRA.

    An adapter has down (bottleneck, width), up (width, bottleneck), their biases, scale and shift (width,), where the
    bottleneck is width / reduction. LoRA has a (rank, width) and b (inner width, rank).

    Raises:
        UserError: the reduction leaves nothing of the width, or the rank is negative.
    """
    width, inner = t5.config.d_model, t5.config.num_heads * t5.config.d_kv
    narrow = width // reduction if reduction > 0 else 0
    require(narrow >= 1, f"reduction {reduction}: 1 to {width}, the width of this T5")
    require(rank >= 0, f"rank {rank}: at least 0, which leaves LoRA out")
    adapter = dict(
        zip(ADAPTER_TENSORS, [(narrow, width), (narrow,), (width, narrow), (width,), (width,), (width,)], strict=True)
    )
    lora = {"a": (rank, width), "b": (inner, rank)}
    found: dict[str, tuple[int, ...]] = {}
    for stack in STACKS:
        modules = dict.fromkeys(ADAPTERS, adapter) | (dict.fromkeys(loras(stack), lora) if rank else {})
        for module, tensors in modules.items():
            for name, shape in tensors.items():
                found[f"{stack}.{module}.{name}"] = (layers(t5, stack), *shape)
    return found


def adapter(
    x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor, scale: Tensor, shift: Tensor
) -> Tensor:
    """LN(up GELU(down x + down_bias) + up_bias) + x, with LN's own scale and shift; x: (..., width)."""
    inner = F.linear(F.gelu(F.linear(x, down, down_bias)), up, up_bias)
    return F.layer_norm(inner, scale.shape, scale, shift) + x


@contextmanager
def applied(t5: "T5ForConditionalGeneration", weights: Weights) -> Iterator[None]:
    """Inside, the T5 computes with these adapters and LoRA matrices; outside, it is what it was.

    `weights`: from `shapes`, or some of its modules. Adapters follow self-attention and feed-forward, before the
    residual connection; LoRA changes queries and values, both by the same b a.
    """
    handles: list[Any] = []
    try:
        for stack, module, layer, tensors in _by_module(t5, weights):
            targets = _targets(t5, stack, layer, module)
            handles.extend(target.register_forward_hook(_hook(module, tensors)) for target in targets)
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def merged(t5: "T5ForConditionalGeneration", weights: Weights) -> "T5ForConditionalGeneration":
    """A T5 of its own with LoRA added into its weights and adapters as its submodules, in evaluation mode."""
    own = copy.deepcopy(t5)
    for stack, module, layer, tensors in _by_module(own, weights):
        for target in _targets(own, stack, layer, module):
            if module in ADAPTERS:
                target.add_module("adapter", _Adapter(tensors))
                target.register_forward_hook(_own_adapter)
            else:
                target.weight.add_((tensors["b"] @ tensors["a"]).to(target.weight))
    return own.requires_grad_(False).eval()


def _by_module(t5: Any, weights: Weights) -> Iterator[tuple[str, str, int, Weights]]:
    """(stack, module, layer, its tensors), with one unbinding a tensor, so that each has one gradient."""
    grouped: dict[tuple[str, str], dict[str, tuple[Tensor, ...]]] = {}
    for name, tensor in weights.items():
        stack, module, part = name.split(".")
        grouped.setdefault((stack, module), {})[part] = tensor.unbind()
    for (stack, module), parts in grouped.items():
        for layer in range(layers(t5, stack)):
            yield stack, module, layer, {part: tensors[layer] for part, tensors in parts.items()}


def _targets(t5: Any, stack: str, layer: int, module: str) -> list[Any]:
    """The T5's modules whose output an adapter or LoRA changes."""
    parts = getattr(t5, stack).block[layer].layer
    if module == "feed_forward_adapter":
        return [parts[-1].DenseReluDense]
    attention = parts[1].EncDecAttention if module == "cross_lora" else parts[0].SelfAttention
    return [attention] if module == "attention_adapter" else [attention.q, attention.v]


def _hook(module: str, tensors: Weights) -> Callable[..., Any]:
    if module in ADAPTERS:
        return lambda _, __, output: _adapted(output, lambda x: adapter(x, **tensors))
    return lambda _, inputs, output: output + F.linear(F.linear(inputs[0], tensors["a"]), tensors["b"])


def _own_adapter(module: Any, inputs: Any, output: Any) -> Any:
    return _adapted(output, module.adapter)


def _adapted(output: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Attention gives a tuple, whose first is what goes on."""
    return (function(output[0]), *output[1:]) if isinstance(output, tuple) else function(output)


class _Adapter(nn.Module):
    """An adapter as a module, with parameters of its own."""

    def __init__(self, tensors: Weights) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor.clone()))

    def forward(self, x: Tensor) -> Tensor:
        return adapter(x, **dict(self.named_parameters()))
