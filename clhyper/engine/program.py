"""Training steps as a program that runs again without Python: a block of steps is one CUDA graph, compiled or not.

A program's inputs are copied to where it reads them. Whatever else its steps read or change (parameters, running
statistics, an optimizer's state) is moved to where the graph expects it as an experience begins, so that experiences
that do the same share one program.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clhyper.data.batches import Block
from clhyper.engine.compiled import Compiled, compile_steps
from clhyper.engine.recorder import Recorder
from clhyper.evaluation.counter import OperationCounter
from clhyper.threads import process, turns

if TYPE_CHECKING:
    from clhyper.engine.steps import Steps
    from clhyper.engine.strategy import Strategy

BY_IMAGE = ("x", "y", "tasks", "draws")


class DryStep:
    """The first step of an experience, taken eagerly and back again, to find out what it does.

    Args:
        steps: The experience's steps.
        block: Its first block.

    Attributes:
        inputs: The block's tensors by name, copied.
        outside: Other tensors that steps read or change, see `Recorder`.
        undo: Puts them back to where they were, until `settle`.
        fingerprint: Of the program; see `Recorder`.
        needs_host: Why steps can't be captured; see `Recorder`.
        macs: Multiply-accumulates of preparing the block, and of a step, by part.
    """

    def __init__(self, steps: "Steps", block: Block) -> None:
        self.steps, self.strategy = steps, steps.strategy
        self.inputs = {name: tensor.clone() for name, tensor in block.tensors().items()}
        self.count, self.batch = block.steps, len(block.y) // block.steps
        _prime(self.strategy.optimizer)
        block = self.block(block.steps)
        with Recorder(list(block.tensors().values())) as recorder:
            with OperationCounter() as preparing:
                prepared = steps.prepare(block)
            with OperationCounter() as stepping:
                take_step(self.strategy, block, 0, prepared)
        self.macs = (preparing.macs(), stepping.macs())
        self.fingerprint = f"{recorder.fingerprint} {_settings()}"
        self.outside, self.undo = recorder.outside, recorder.undo
        self.needs_host = recorder.needs_host
        self.undo()
        forget(self.strategy)

    def settle(self) -> None:
        """Gives up what `undo` needs, a copy of all that a step changes."""
        del self.undo

    def block(self, count: int) -> Block:
        """The first `count` steps of the block, in the memory of `inputs`."""
        rows = {name: self.inputs[name][: count * self.batch] for name in BY_IMAGE}
        drawn = {name: tensor[:count] for name, tensor in self.inputs.items() if name not in BY_IMAGE}
        return Block(count, drawn=drawn, **rows)

    def take(self) -> None:
        """Takes the first step eagerly."""
        block = self.block(1)
        take_step(self.strategy, block, 0, self.steps.prepare(block))
        forget(self.strategy)

    @property
    def movable(self) -> bool:
        """Whether what is outside can be moved: no two tensors share memory, and none is a part of a larger one."""
        storages = {tensor.untyped_storage()._cdata for tensor in self.outside}
        whole = all(t.untyped_storage().nbytes() == t.numel() * t.element_size() for t in self.outside)
        return whole and len(storages) == len(self.outside)


class GraphProgram:
    """Blocks of steps as CUDA graphs, one for each number of steps, on one stream.

    Args:
        dry: The first step of the first experience that it is for.
        compiled: Compile the steps before they are captured.
    """

    def __init__(self, dry: DryStep, compiled: bool) -> None:
        self.fingerprint, self.movable = dry.fingerprint, dry.movable
        self.inputs, self.slots = dry.inputs, [tensor.detach() for tensor in dry.outside]
        self.dry = dry
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.compiled: Compiled | None = compile_steps(dry) if compiled else None

    def begin(self, dry: DryStep) -> None:
        """Moves what an experience with this program has outside to where the graphs expect it.

        What the experience before has there too stays; what only that one has makes room. So nothing moves that several
        runs share.
        """
        before, self.dry = self.dry, dry
        dry.inputs = self.inputs
        places = zip(self.slots, before.outside, dry.outside, strict=True)
        changed = [(slot, old, new) for slot, old, new in places if slot.data_ptr() != new.data_ptr()]
        with torch.no_grad():
            for slot, old, _ in changed:
                if old.data_ptr() == slot.data_ptr():
                    old.data = slot.clone()
            for slot, _, new in changed:
                slot.copy_(new)
                new.data = slot

    def end(self) -> None:
        """Ends an experience; what it has outside stays where it is until another needs the place."""
        if self.inputs["y"].is_cuda:
            torch.cuda.current_stream().synchronize()
        forget(self.dry.strategy)

    def run(self, block: Block) -> None:
        """Takes the block's steps."""
        for name, tensor in block.tensors().items():
            self.inputs[name][: len(tensor)].copy_(tensor)
        if block.steps not in self._graphs:
            with self.dry.strategy.apart("compilation"):
                self._graphs[block.steps] = self._capture(block.steps)
        self._graphs[block.steps].replay()

    def _capture(self, count: int) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with turns.alone(), process, _no_garbage_collection():
            forget(self.dry.strategy)
            torch.cuda.current_stream().synchronize()
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                self._execute(count)
            finally:
                graph.capture_end()
            forget(self.dry.strategy)
        return graph

    def _execute(self, count: int) -> None:
        block = self.dry.block(count)
        if self.compiled is not None:
            self.compiled.execute(block, self.slots, self.dry.steps)
            return
        prepared = self.dry.steps.prepare(block)
        for number in range(count):
            take_step(self.dry.strategy, block, number, prepared)

    def free(self) -> None:
        """Gives the graphs' memory back."""
        torch.cuda.current_stream().synchronize()
        with turns.alone(), process:
            self._graphs.clear()


class CompiledProgram:
    """Steps compiled for the CPU, and executed one after another."""

    def __init__(self, dry: DryStep) -> None:
        self.fingerprint, self.movable, self.dry = dry.fingerprint, True, dry
        self.compiled = compile_steps(dry)

    def begin(self, dry: DryStep) -> None:
        self.dry = dry

    def run(self, block: Block) -> None:
        """Takes the block's steps."""
        self.compiled.execute(block, [tensor.detach() for tensor in self.dry.outside], self.dry.steps)

    def end(self) -> None:
        forget(self.dry.strategy)

    def free(self) -> None:
        """Nothing is held."""


def take_step(strategy: "Strategy", block: Block, number: int, prepared: Tensor) -> None:
    """One of the block's steps, eagerly."""
    strategy.mbatch, strategy.drawn = block.step(number, prepared)
    strategy.step()


def forget(strategy: "Strategy") -> None:
    """Drops what a step left: in a capture, old graphs of autograd would tie the step to other streams."""
    for name in ("mbatch", "mb_output"):
        setattr(strategy, name, None)
    strategy.drawn = {}
    strategy.loss = strategy.last_loss
    strategy.model.zero_grad()
    strategy.optimizer.zero_grad()
    for name, value in list(vars(strategy).items()):
        if isinstance(value, Tensor) and value.grad_fn is not None:
            setattr(strategy, name, None)


def _settings() -> str:
    """What of torch's settings decides how the same operators are executed."""
    exact = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    return f"{exact} {torch.are_deterministic_algorithms_enabled()} {torch.get_num_threads()}"


def _prime(optimizer: torch.optim.Optimizer) -> None:
    """Makes the optimizer's state, which a first step would make and later ones find; parameters stay."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p not in optimizer.state]
    if not parameters:
        return
    before = [p.detach().clone() for p in parameters]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
            parameter.grad = None
            for tensor in optimizer.state[parameter].values():
                if isinstance(tensor, Tensor):
                    tensor.zero_()


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
