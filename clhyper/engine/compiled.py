"""Traces a training step, whatever the strategy, to one graph of operators and compiles it.

What is traced is the step as the eager engine takes it, backward passes and update included: operators on tensors. So
nothing has to be written for it anew, and the compiler sees all of it at once.
"""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from clhyper.data.batches import Block
from clhyper.engine.lowering import DECOMPOSITIONS, loosen_views, merge_rearranged
from clhyper.threads import process, turns

if TYPE_CHECKING:
    from clhyper.engine.program import DryStep
    from clhyper.engine.steps import Steps

_COMPILED: dict[str, "Compiled"] = {}
"""by fingerprint: runs of a process that do the same share what was compiled"""

_WAYS: list[dict[str, Any]] = [
    {"combo_kernels": True},
    {"combo_kernels": True, "loop_ordering_after_fusion": False},
    {"loop_ordering_after_fusion": False},
    {},
]
"""options that steps on a GPU are compiled with, until one doesn't fail: combined kernels are new in PyTorch, 2.11
can't order the loops of operators on lists, as a fused optimizer has them (pytorch/pytorch#176591), and a PyTorch that
doesn't know an option refuses it, which leaves the plain way"""

_compiling = threading.Lock()


class Compiled:
    """A block's preparation and its steps, compiled: `execute` runs them on a block and on what is outside of it.

    Args:
        prepare: (x, draws, *outside) to the prepared images or features; None if nothing is to prepare.
        shape: Of the x that `prepare` takes; an epoch's last block may be shorter: it is filled up with black images
            that no step takes, or, where they would be the most of it, prepared eagerly.
        step: (x, y, tasks, *drawn, *outside), which changes what is outside in place.
    """

    def __init__(self, prepare: Callable[..., Any] | None, shape: torch.Size, step: Callable[..., Any]) -> None:
        self.prepare, self.shape, self.step = prepare, shape, step

    def execute(self, block: Block, outside: list[Tensor], steps: "Steps") -> None:
        """Takes the block's steps; `steps` is the experience's loader."""
        with torch.no_grad():
            missing = self.shape[0] - len(block.x)
            if self.prepare is not None and 0 <= missing <= len(block.x):
                prepared = self.prepare(_filled(block.x, missing), _filled(block.draws, missing), *outside)
            else:
                prepared = steps.prepare(block)
            for number in range(block.steps):
                batch, drawn = block.step(number, prepared)
                self.step(*batch, *drawn.values(), *outside)


def _filled(rows: Tensor, missing: int) -> Tensor:
    """Rows, and as many of zeros as are missing."""
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


def compile_steps(dry: "DryStep") -> Compiled:
    """Compiles the steps that a dry step is the first of; takes seconds to a minute, once for each fingerprint."""
    with turns.away():
        _compiling.acquire()
    try:
        if dry.fingerprint not in _COMPILED:
            _COMPILED[dry.fingerprint] = _compile(dry)
        return _COMPILED[dry.fingerprint]
    finally:
        _compiling.release()


def _compile(dry: "DryStep") -> Compiled:
    from clhyper.engine.program import forget

    steps, strategy, outside = dry.steps, dry.strategy, dry.outside
    block = dry.block(dry.count)

    def prepare(x: Tensor, draws: Tensor, *outside: Tensor) -> Tensor:
        return steps.prepare(Block(block.steps, x, block.y, block.tasks, draws))

    def step(x: Tensor, y: Tensor, tasks: Tensor, *rest: Tensor) -> Tensor:
        strategy.mbatch = [x, y, tasks]
        strategy.drawn = dict(zip(block.drawn, rest, strict=False))
        strategy.step()
        return strategy.loss.detach()

    prepared = steps.prepare(block)
    compiled_prepare = None
    if prepared is not block.x:
        inputs = [block.x, block.draws, *outside]
        compiled_prepare = _lowered(_traced(prepare, inputs), inputs)
    batch, drawn = block.step(0, prepared)
    inputs = [*batch, *drawn.values(), *outside]
    traced = _traced(step, inputs)
    dry.undo()
    forget(strategy)
    compiled_step = _lowered(traced, inputs)
    dry.undo()
    return Compiled(compiled_prepare, block.x.shape, compiled_step)


def _traced(function: Callable[..., Tensor], tensors: list[Tensor]) -> fx.GraphModule:
    """The operators that `function` applies to `tensors`, and to nothing else that was there before."""
    with process:
        module = make_fx(function, decomposition_table=DECOMPOSITIONS)(*tensors)
    for node in reversed(module.graph.nodes):
        if node.op == "call_function" and str(node.target).startswith("profiler."):
            module.graph.erase_node(node)
    loosen_views(module.graph)
    merge_rearranged(module.graph)
    module.recompile()
    return module


def _lowered(
    module: fx.GraphModule, tensors: list[Tensor], ways: Sequence[dict[str, Any]] | None = None
) -> Callable[..., Any]:
    """The traced operators compiled, to be called with `tensors`; on a GPU alike kernels run as one if they can.

    `ways`: options of the compiler, the first that don't fail are taken; without them, those of the tensors' device.
    Raises what the first way failed with if all fail, and at once where memory runs out.
    """
    values = [tensor.detach() for tensor in tensors]
    if ways is None:
        ways = _WAYS if values[0].is_cuda else [{}]
    failures: list[Exception] = []
    for options in ways:
        try:
            return _called(torch.compile(module, dynamic=False, options=options), values)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            failures.append(error)
    raise failures[0]


def _called(function: Callable[..., Any], values: list[Tensor]) -> Callable[..., Any]:
    """`function`, which compiles when it is first called, after that."""
    with process, torch.no_grad():
        function(*values)
    return function
