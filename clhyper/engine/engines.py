"""Chooses how training steps are executed: one by one in Avalanche's loop, or as captured or compiled programs."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from clhyper.engine.hooks import why_each_step
from clhyper.engine.program import CompiledProgram, DryStep, GraphProgram, take_step
from clhyper.engine.steps import Steps
from clhyper.options import check_engine
from clhyper.threads import turns

if TYPE_CHECKING:
    from clhyper.engine.strategy import Strategy

STEPS_WORTH_COMPILING = 4000
"""steps an experience from which `auto` compiles: what a minute and a half saves over a stream of 20 of them"""
_TRIED_STEPS = 3


class Engine:
    """Executes the epochs of a strategy that need no Python between steps.

    Attributes:
        name: The engine that the present experience is trained by: eager, captured or compiled.

    Args:
        strategy: Whose epochs.
        wanted: auto, eager, captured or compiled.

    Raises:
        UserError: an unknown engine, or `captured` on a CPU.
    """

    def __init__(self, strategy: "Strategy", wanted: str, device: torch.device) -> None:
        check_engine(wanted, device.type)
        self.strategy, self.wanted, self.device = strategy, wanted, device
        self.name = "eager"
        self._program: GraphProgram | CompiledProgram | None = None
        self._begun = False
        self._stream: torch.cuda.Stream | None = None
        self._compiles = True

    def choose(self, steps: Any) -> None:
        """Chooses the engine for an experience whose loader is `steps`, and says so if it isn't the one wanted."""
        self.name = self._choice(steps)

    def _choice(self, steps: Any) -> str:
        if self.wanted == "eager" or (self.wanted == "auto" and self.device.type == "cpu"):
            return "eager"
        why = why_each_step(self.strategy, steps)
        if why:
            if self.wanted != "auto" or self.device.type == "cuda":
                self.strategy.notice(f"engine eager in place of {self.wanted}: {why}")
            return "eager"
        if self.wanted == "auto":
            worth = self.strategy.train_epochs * len(steps) >= STEPS_WORTH_COMPILING
            return "compiled" if worth and self._compiles else "captured"
        if self.wanted == "compiled" and not self._compiles:
            return "captured" if self.device.type == "cuda" else "eager"
        return self.wanted

    def run_epoch(self, steps: Steps) -> None:
        """Takes an epoch's steps without Avalanche's hooks of iterations."""
        with self._own_stream():
            for block in steps.blocks():
                turns.rest()
                if not self._begun:
                    self._begin(steps, block)
                if self.name == "eager":  # nothing else worked, or this is faster
                    self._run_eagerly(steps, block)
                elif self._program is not None:
                    self._program.run(block)
                    self._tell(steps, block.x.shape, block.steps)
                if self.strategy.blocks_done(block.steps):
                    break

    def _begin(self, steps: Steps, block: Any) -> None:
        """Finds the experience's program: the last one's if it does the same, or a new one."""
        self._begun = True
        strategy = self.strategy
        with strategy.apart("compilation"):
            dry = DryStep(steps, block)
            self._macs = dry.macs
            self._first_shape = block.x.shape
            program = self._program
            if program is not None and program.fingerprint == dry.fingerprint and program.movable and dry.movable:
                program.begin(dry)
            else:
                self.close()
                self._program = self._new_program(dry)
            dry.settle()

    def _new_program(self, dry: DryStep) -> GraphProgram | CompiledProgram | None:
        if dry.needs_host and self.device.type == "cuda":
            self.strategy.notice(
                f"engine eager in place of {self.name}: a step moves numbers between host and device, in"
                f" {dry.needs_host}"
            )
            self.name = "eager"
            return None
        if self.device.type == "cuda":
            if self.name == "compiled":
                try:
                    return GraphProgram(dry, compiled=True)
                except torch.OutOfMemoryError:
                    raise
                except Exception as error:
                    dry.undo()
                    self.name = "captured"
                    self._fall_back("compiled", error)
            return GraphProgram(dry, compiled=False)
        try:
            program = CompiledProgram(dry)
        except Exception as error:
            dry.undo()
            self._fall_back("compiled", error)
            self.name = "eager"
            return None
        if not self._is_faster(program, dry):
            self._compiles = False
            self.strategy.notice("engine eager in place of compiled: on this CPU it is the faster of the two")
            self.name = "eager"
            return None
        return program

    def _fall_back(self, engine: str, error: Exception) -> None:
        self._compiles = False
        instead = "captured" if self.device.type == "cuda" else "eager"
        reason = " ".join(f"{type(error).__name__}: {error}".split("\n")[:3])[:300]
        self.strategy.notice(f"engine {instead} in place of {engine}: the step could not be compiled ({reason})")

    def _is_faster(self, program: CompiledProgram, dry: DryStep) -> bool:
        """Whether a compiled step takes less time than an eager one here; both are taken back."""
        block = dry.block(1)

        def seconds(step: Any) -> float:
            times = []
            for _ in range(_TRIED_STEPS):
                start = time.perf_counter()
                step()
                times.append(time.perf_counter() - start)
            dry.undo()
            return min(times)

        compiled = seconds(lambda: program.run(block))
        eager = seconds(lambda: dry.take())
        return compiled < eager

    def _run_eagerly(self, steps: Steps, block: Any) -> None:
        prepared = steps.prepare(block)
        for number in range(block.steps):
            take_step(self.strategy, block, number, prepared)
        self._tell(steps, block.x.shape, block.steps)

    def _tell(self, steps: Steps, shape: torch.Size, count: int) -> None:
        """Tells those plugins that count of a block's work."""
        preparation, step = self._macs
        share = shape[0] / self._first_shape[0]
        for plugin in self.strategy.plugins_with("count_work"):
            plugin.count_work("preparation", {part: round(macs * share) for part, macs in preparation.items()})
            plugin.count_work("steps", step, count)

    @property
    def tried(self) -> bool:
        """Whether the present experience has begun without hooks, so that it has to go on so."""
        return self._begun

    def abandon(self) -> None:
        """Training was broken off by an error."""
        self._begun = False
        with contextlib.suppress(Exception):  # the error that training was broken off by is the one to tell of
            self.close()

    def close(self) -> None:
        """Gives the device's memory back; the next experience begins anew."""
        program, self._program = self._program, None
        if program is not None:
            program.free()

    def end(self) -> None:
        """Ends an experience: what its program moved is where it was."""
        if self._begun and self._program is not None:
            with self._own_stream():
                self._program.end()
        self._begun = False

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        """On a GPU, a stream that can be captured; work before and after waits for it."""
        if self.device.type != "cuda":
            yield
            return
        present = torch.cuda.current_stream(self.device)
        if present != torch.cuda.default_stream(self.device):
            yield
            return
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)
        self._stream.wait_stream(present)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            present.wait_stream(self._stream)
