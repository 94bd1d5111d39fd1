"""HyperLoader: a hypernetwork that generates the adapters and LoRA matrices of a frozen T5 for each task.

Source: Ortiz-Barajas, Gomez-Adorno and Solorio, "HyperLoader: Integrating Hypernetwork-Based LoRA and Adapter Layers
into Multi-Task Transformers for Sequence Labelling", 2024, arXiv 2407.01411, which trains tasks together. Tasks that
come in turn, with the drift of what is generated for earlier ones, are ours.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from clhyper.hypernetworks.base import Hypernetwork
from clhyper.parts import part
from clhyper.text.modules import ADAPTERS, STACKS, Weights, applied, layers, loras, merged, shapes

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

POSITIONS = (*ADAPTERS, "self_lora.a", "self_lora.b", "cross_lora.a", "cross_lora.b")
"""what is generated in a layer; encoders have a position embedding of cross-attention too, as published, without use"""


class StackGenerator(nn.Module):
    """Generates one stack's adapters and LoRA matrices: projector, five linear layers, embeddings.

    (task, layer and position embedding) -> Linear 128, ReLU, Linear 64, LayerNorm -> a linear layer for each of adapter
    down, adapter up, the norm, LoRA a and LoRA b; their weights start as N(0, 0.01^2), their biases as 0.

    Args:
        stack: encoder or decoder.
        shapes: Of all tensors, see `clhyper.text.modules.shapes`; those of the stack are read.
        layers: Of the stack.
        task_embedding: Size of the task's embedding.
        embedding: Size of the embeddings of layers and positions, and of what the projector makes.
    """

    def __init__(
        self, stack: str, shapes: dict[str, Sequence[int]], layers: int, task_embedding: int = 512, embedding: int = 64
    ) -> None:
        super().__init__()
        self.stack, self.layers = stack, layers
        self.shapes = {name: tuple(shape[1:]) for name, shape in shapes.items() if name.startswith(stack)}
        self.layer = nn.Embedding(layers, embedding)
        self.position = nn.Embedding(len(POSITIONS), embedding)
        self.projector = nn.Sequential(
            nn.Linear(task_embedding + 2 * embedding, 2 * embedding),
            nn.ReLU(),
            nn.Linear(2 * embedding, embedding),
            nn.LayerNorm(embedding),
        )
        self.down = self._linear(embedding, "attention_adapter", "down", "down_bias")
        self.up = self._linear(embedding, "attention_adapter", "up", "up_bias")
        self.norm = self._linear(embedding, "attention_adapter", "scale", "shift")
        self.has_lora = f"{stack}.self_lora.a" in self.shapes
        if self.has_lora:
            self.lora_a = self._linear(embedding, "self_lora", "a")
            self.lora_b = self._linear(embedding, "self_lora", "b")

    def _linear(self, embedding: int, module: str, *names: str) -> nn.Linear:
        numbers = sum(torch.Size(self.shapes[f"{self.stack}.{module}.{name}"]).numel() for name in names)
        linear = nn.Linear(embedding, numbers)
        nn.init.normal_(linear.weight, std=0.01)
        nn.init.zeros_(linear.bias)
        return linear

    def forward(self, task: Tensor) -> Weights:
        """A task's embedding (task_embedding,) to the stack's tensors, each (layers, ...)."""
        positions = len(POSITIONS)
        joined = torch.cat(
            [
                task.expand(self.layers, positions, -1),
                self.layer.weight[:, None].expand(-1, positions, -1),
                self.position.weight[None].expand(self.layers, -1, -1),
            ],
            dim=-1,
        )
        inputs = dict(zip(POSITIONS, self.projector(joined).unbind(1), strict=True))
        made: Weights = {}
        for module in ADAPTERS:
            made |= self._cut(module, self.down(inputs[module]), "down", "down_bias")
            made |= self._cut(module, self.up(inputs[module]), "up", "up_bias")
            made |= self._cut(module, self.norm(inputs[module]), "scale", "shift")
        for module in loras(self.stack) if self.has_lora else ():
            made |= self._cut(module, self.lora_a(inputs[f"{module}.a"]), "a")
            made |= self._cut(module, self.lora_b(inputs[f"{module}.b"]), "b")
        return made

    def _cut(self, module: str, numbers: Tensor, *names: str) -> Weights:
        """(layers, numbers) cut into the tensors of a module."""
        full = [f"{self.stack}.{module}.{name}" for name in names]
        cuts = numbers.split([torch.Size(self.shapes[name]).numel() for name in full], dim=1)
        return {name: cut.unflatten(1, self.shapes[name]) for name, cut in zip(full, cuts, strict=True)}


class ModuleGenerator(Hypernetwork):
    """H_psi: task -> every adapter and LoRA tensor of a T5, a generator for its encoder and one for its decoder.

    Args:
        t5: Says the shapes; it is read, not kept.
        reduction: An adapter's bottleneck is the T5's width divided by it.
        rank: Of LoRA; 0: adapters alone, which is HyperFormer's kind.
        task_embedding: Size of a task's embedding, all that one more task adds.
        embedding: Size of the embeddings of layers and positions.
    """

    def __init__(
        self,
        t5: "T5ForConditionalGeneration",
        reduction: int = 32,
        rank: int = 8,
        task_embedding: int = 512,
        embedding: int = 64,
    ) -> None:
        super().__init__(nn.Module())
        self.shapes = {name: torch.Size(shape) for name, shape in shapes(t5, reduction, rank).items()}
        self.task_embedding = task_embedding
        for stack in STACKS:
            self.add_module(stack, StackGenerator(stack, self.shapes, layers(t5, stack), task_embedding, embedding))  # type: ignore[arg-type]

    def add_task(self, copy_of: int | None = None) -> int:
        like = next(self.parameters())
        new = torch.randn(self.task_embedding, device=like.device, dtype=like.dtype)
        self.embeddings.append(nn.Parameter(new if copy_of is None else self.embeddings[copy_of].detach().clone()))
        return self.tasks - 1

    def weights(self, own: Sequence[Tensor]) -> Weights:
        return {name: tensor for stack in STACKS for name, tensor in getattr(self, stack)(own[0]).items()}


class HyperLoader(nn.Module):
    """A frozen T5 whose adapters and LoRA matrices are generated for each task; its own norms are trained.

    Args:
        t5: Any T5 of transformers, taken over: its weights are frozen, but for its layer norms.
        options: Of `ModuleGenerator`.
    """

    def __init__(self, t5: "T5ForConditionalGeneration", **options: Any) -> None:
        super().__init__()
        self.t5 = t5.requires_grad_(False)
        self.hypernetwork = ModuleGenerator(t5, **options)
        for norm in self.norms():
            norm.requires_grad_(True)
        self._cache: dict[int, Weights] = {}
        self._cached_version: tuple[tuple[int, int], ...] = ()

    def norms(self) -> Iterator[nn.Parameter]:
        """The T5's own layer norms."""
        return (tensor for name, tensor in self.t5.named_parameters() if "layer_norm" in name)

    def freeze_norms(self) -> None:
        """From now on the T5 doesn't change at all."""
        for norm in self.norms():
            norm.requires_grad_(False)

    def add_task(self) -> int:
        """Adds a task and returns its number."""
        return self.hypernetwork.add_task()

    def focus(self, task: int | None) -> None:
        """Trains this task's embedding and no other's; None: those of all."""
        for number, embedding in enumerate(self.hypernetwork.embeddings):
            embedding.requires_grad_(task is None or number == task)

    def trained_parameters(self) -> list[nn.Parameter]:
        """What is trained now."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def train(self, mode: bool = True) -> "HyperLoader":
        if mode:  # fused optimizers change parameters without a new version
            self._cache = {}
        return super().train(mode)

    def weights(self, task: int) -> Weights:
        """A task's adapters and LoRA matrices; in evaluation without a graph, and kept until the generator changes."""
        if self.training:
            return self._generate(task)
        version = tuple((id(parameter), parameter._version) for parameter in self.hypernetwork.parameters())
        if version != self._cached_version:
            self._cache, self._cached_version = {}, version
        if task not in self._cache:
            with torch.no_grad():
                self._cache[task] = self._generate(task)
        return self._cache[task]

    @part("generation")
    def _generate(self, task: int) -> Weights:
        return self.hypernetwork.generate(task)

    @contextmanager
    def serving(self, task: int) -> Iterator["T5ForConditionalGeneration"]:
        """Inside, the T5 is the task's."""
        with applied(self.t5, self.weights(task)):
            yield self.t5

    def forward(self, task: int, **inputs: Any) -> Any:
        """What transformers' T5 gives for `inputs`, as the task's network: `loss`, `logits`, ..."""
        with self.serving(task) as t5:
            return t5(**inputs)

    def merged(self, task: int) -> "T5ForConditionalGeneration":
        """The task's network as a T5 of its own: LoRA in its weights, adapters as submodules, nothing generated."""
        with torch.no_grad():
            return merged(self.t5, self.hypernetwork.generate(task))
