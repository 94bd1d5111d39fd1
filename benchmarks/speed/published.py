"""A step of the partial hypernetwork as published: generation per sample, and the drift task by task.

Source of the published way: Hemati, Lomonaco, Bacciu and Borth, "Partial Hypernetworks for Continual Learning", CoLLAs
2023, arXiv 2306.10724, and the order of passes in their code (github.com/HamedHemati/Partial-Hypernetworks-for-CL).
"""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from benchmarks.speed.setting import IMAGE_SHAPE
from clhyper.backbones import build_backbone, split
from clhyper.hypernetworks import AdditiveHypernetwork
from clhyper.hypernetworks.additive import CLASSIFIER
from strategies import PartialHypernetwork

CLASSES = 10


class PublishedGenerator(nn.Module):
    """The same weights from the same numbers as `AdditiveHypernetwork`, computed as published: every output channel
    of every task (or sample) has its [h_t ; u_c] built and multiplied. The parameters are copies, layer by layer."""

    def __init__(self, hypernetwork: AdditiveHypernetwork) -> None:
        super().__init__()
        self.mlp = copy.deepcopy(hypernetwork.mlp)
        self.shapes, self.vector_names = hypernetwork.shapes, hypernetwork.vector_names
        self.embeddings, self.table = (copy.deepcopy(part) for part in (hypernetwork.embeddings, hypernetwork.table))
        self.names = [*hypernetwork.kernel_names, CLASSIFIER]
        self.layers = nn.ModuleList(Layer(hypernetwork, name) for name in self.names)

    def forward(self, tasks: Tensor) -> dict[str, Tensor]:
        """tasks (T,), repeats allowed, to name -> (T, *shape)."""
        h = self.mlp(torch.stack(list(self.embeddings))[tasks])
        weights = {
            name: layer(h).view(-1, *self.shapes[name]) for name, layer in zip(self.names, self.layers, strict=True)
        }
        rows = torch.stack(list(self.table))[tasks]
        vectors = rows.split([self.shapes[name].numel() for name in self.vector_names], dim=1)
        return weights | dict(zip(self.vector_names, vectors, strict=True))

    def gradient(self) -> Tensor:
        """That of all parameters, as one vector."""
        return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self.parameters()])


class Layer(nn.Module):
    """What generates one layer's kernels."""

    def __init__(self, hypernetwork: AdditiveHypernetwork, name: str) -> None:
        super().__init__()
        parts = hypernetwork.layer(name)
        self.channels, self.weight, self.bias = (nn.Parameter(part.detach().clone()) for part in parts)

    def forward(self, h: Tensor) -> Tensor:
        """h (T, hidden) to (T, channels, size)."""
        channels = self.channels.expand(len(h), -1, -1)
        inputs = torch.cat([h[:, None].expand(-1, channels.shape[1], -1), channels], dim=2)
        return F.linear(inputs, self.weight, self.bias)


class Published:
    """A step as published: weights for every sample of the batch, and a pass of the generator per earlier task.

    As in the authors' code, a copy of the earlier generator makes each task's target again in every step, and each
    gradient is taken twice: by itself (of the cross-entropy for the look-ahead, of the drift to watch their angle) and
    in the sum. That can be avoided without generating any differently, so `frugal` stores the targets and takes each
    gradient once: what is then left of the ratio is due to the way of generating alone.

    Args:
        strategy: In its last experience, at its beginning.
        x: (batch, channels, height, width) images.
        y: (batch,) labels.
        frugal: See above.
    """

    def __init__(self, strategy: PartialHypernetwork, x: Tensor, y: Tensor, frugal: bool) -> None:
        self.strategy, self.x, self.y, self.frugal = strategy, x, y, frugal
        self.generator = PublishedGenerator(strategy.model.hypernetwork)
        self.before = copy.deepcopy(self.generator)
        trained = [parameter for parameter in self.generator.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=strategy.options.learning_rate, fused=True)
        self.earlier = torch.arange(strategy.earlier_tasks, device=y.device).split(1)
        self.samples = torch.full_like(y, strategy.earlier_tasks)
        _, self.back = split(build_backbone("slim-resnet18", IMAGE_SHAPE, CLASSES), strategy.freeze_depth)
        for module in self.back.modules():
            if isinstance(module, nn.BatchNorm2d):  # on one sample and without statistics, this is instance norm
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
        self.targets = [self._target(task) for task in self.earlier] if frugal else []

    @torch.no_grad()
    def _target(self, task: Tensor) -> dict[str, Tensor]:
        return self.before(task)

    def gradients(self) -> Tensor:
        """Leaves the gradients of cross-entropy and drift in the parameters; returns the cross-entropy."""
        self.optimizer.zero_grad()
        features = self.strategy.model.features(self.x)
        logits = vmap(self._one_sample)(self.generator(self.samples), features)
        loss = F.cross_entropy(logits, self.y)
        trained = {name: p for name, p in self.generator.named_parameters() if p.requires_grad}
        gradients = torch.autograd.grad(loss, list(trained.values()), retain_graph=not self.frugal)
        learning_rate = self.strategy.options.learning_rate
        ahead = {name: p - learning_rate * g for (name, p), g in zip(trained.items(), gradients, strict=True)}
        regulariser = self.strategy.options.beta / len(self.earlier) * self.drift(ahead)
        if self.frugal:
            for parameter, gradient in zip(trained.values(), gradients, strict=True):
                parameter.grad = gradient
            regulariser.backward()
        else:
            torch.autograd.grad(regulariser, list(trained.values()), retain_graph=True, allow_unused=True)
            (loss + regulariser).backward()
        return loss.detach()

    def update(self) -> None:
        self.optimizer.step()

    def gradient(self) -> Tensor:
        return self.generator.gradient()

    def follow(self) -> None:
        """Takes over the strategy's present parameters."""
        self.generator.load_state_dict(PublishedGenerator(self.strategy.model.hypernetwork).state_dict())

    def _one_sample(self, weights: dict[str, Tensor], features: Tensor) -> Tensor:
        return functional_call(self.back, weights, (features[None],))[0]

    def drift(self, parameters: dict[str, Tensor] | None = None) -> Tensor:
        """By its definition, with other parameters of the generator if given."""
        drift = torch.zeros((), device=self.y.device)
        for number, task in enumerate(self.earlier):
            before = self.targets[number] if self.frugal else self._target(task)
            now = functional_call(self.generator, parameters or {}, (task,))
            drift = drift + sum((now[name] - before[name]).square().sum() for name in now)
        return drift
