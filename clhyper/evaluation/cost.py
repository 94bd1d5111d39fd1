"""The cost meter: what training costs, experience by experience, and what use costs, as an Avalanche plugin.

MACs are counted by PyTorch's own counter (`torch.utils.flop_counter`), forward and backward as executed: matrix
products and convolutions, functional calls included. Elementwise work (activations, norms, optimizer) it doesn't count.
Those of a strategy of ours are told apart by what they serve, see `clhyper.parts`.
"""

import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from avalanche.core import SupervisedPlugin
from torch import Tensor

from clhyper.backbones.model import SplitModel
from clhyper.evaluation.counter import Macs
from clhyper.evaluation.energy import EnergyMeter
from clhyper.evaluation.memory import PeakMemory
from clhyper.evaluation.use import measured_use, synchronise, tensor_bytes
from clhyper.evaluation.work import Work
from clhyper.parts import PARTS

if TYPE_CHECKING:
    import pandas as pd

COSTS = {
    "train_macs": "multiply-accumulates of training, forward and backward: the sum of the next five",
    "front_macs": "of these, those of the front, features of frozen fronts and of stored examples included",
    "generation_macs": "of these, those of generating the weights that a step trains; 0 where nothing is generated",
    "back_macs": "of these, those of the back, generated or not, on new and replayed examples",
    "drift_macs": "of these, those of a hypernetwork's drift from what it generated, and of remembering that",
    "other_macs": "of these, the rest: further passes of a method, statistics of features",
    "train_seconds": "seconds of training, device-synchronised, without evaluation, loading of data and compilation",
    "evaluation_seconds": "seconds of evaluation during the stream",
    "loading_seconds": "seconds of reading training images and taking them to the device",
    "compilation_seconds": "seconds of finding out what training steps do, capturing and compiling them",
    "train_joules": "joules of training: of the whole GPU by NVML's counter, or of the processor packages by RAPL's",
    "peak_device_bytes": "peak memory on the device in training",
    "peak_host_bytes": "peak resident memory of the process in training",
    "trainable_parameters": "parameters that the last experience trained",
    "generated_parameters": "numbers in the weights generated for one task",
    "frozen_parameters": "parameters that the last experience held fixed",
    "bytes_kept": "all that must stay to serve every task so far and to go on learning",
    "generation_ms": "milliseconds to generate one task's weights",
    "batch_ms": "milliseconds to predict one batch, weights generated",
    "bytes_per_task": "bytes that one more task adds, of its own",
}
_SUMMED = ("train_macs", "train_seconds", "evaluation_seconds", "loading_seconds", "compilation_seconds")
_PARTS = tuple(f"{part}_macs" for part in PARTS)
_PEAKS = ("peak_device_bytes", "peak_host_bytes")
_NO_COST = ("reasons", "loss_by_epoch")
_EARLIER = "experience {} was trained by an earlier version of clhyper, which doesn't say it"

Record = dict[str, Any]


class CostMeter(SupervisedPlugin):
    """Measures an Avalanche strategy's training; `records` has one dict an experience, `total()` the whole stream.

    A record has costs, the number of steps, the engine, and `loss_by_epoch`, the mean training loss of each epoch.

    The first training step of each kind in an experience (batch shape and number of tasks) is executed under the
    counter and multiplied; our strategies count steps that are taken without Avalanche's hooks, and the preparation of
    their images, in the same way, and tell of them with `count_work`. What happens between epochs and around them
    (features of the frozen front, snapshots, filling of buffers) is counted as it happens. The counter slows the step
    that it watches, so the mean of the other steps stands in for that one's seconds. A value that can't be had is
    None, and `reasons` in the record says why.

    Args:
        runs_at_once: Processes with runs that share the machine; energy is then None, since a counter can't tell them
            apart.
        lanes: The most runs side by side in this process since it was last asked; without it, one. Where there were
            several, energy and peaks of memory are None.
    """

    def __init__(self, runs_at_once: int = 1, lanes: Callable[[], int] | None = None) -> None:
        super().__init__()
        self.runs_at_once, self.lanes = runs_at_once, lanes or (lambda: 1)
        self.records: list[Record] = []
        self.use: Record = {}
        self._work = Work()
        self._open = False

    # Training

    works_in_blocks = True

    def before_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        synchronise(strategy)
        self.lanes()
        supply = getattr(strategy, "supply", None)
        self._peak = PeakMemory(strategy.device, lambda: supply.evaluation_bytes if supply else 0)
        self._energy = EnergyMeter(strategy.device, self.runs_at_once)
        self._work = Work()
        self._watched_seconds: list[float] = []
        self._evaluation_seconds = 0.0
        self._in_steps = 0.0
        self._apart_before = _seconds_apart(strategy)
        self._open = True
        self._start = time.perf_counter()
        self._work.watch()

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        parameters = list(strategy.model.parameters())
        self._trainable = sum(p.numel() for p in parameters if p.requires_grad)
        self._frozen = sum(p.numel() for p in parameters if not p.requires_grad)

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self._work.unwatch()
        self._kind = _kind_of_step(strategy)
        self._work.steps[self._kind] += 1
        if not self._work.knows(self._kind):
            synchronise(strategy)
            self._step_start = time.perf_counter()
            self._work.watch()

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        if self._work.watching:
            self._work.unwatch_step(self._kind)
            synchronise(strategy)
            self._watched_seconds.append(time.perf_counter() - self._step_start)

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self._work.unwatch()
        synchronise(strategy)
        self._epoch_start = time.perf_counter()
        self._apart_in_epoch = sum(_seconds_apart(strategy).values())

    def count_work(self, kind: Hashable, macs: Macs, times: int = 1) -> None:
        """Adds work of a kind (`steps`: training steps) that was done `times` times without hooks between."""
        if kind == "steps":
            self._work.add_steps(kind, macs, times)
        else:
            self._work.add_around(macs, times)

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        synchronise(strategy)
        apart = sum(_seconds_apart(strategy).values()) - self._apart_in_epoch
        self._in_steps += time.perf_counter() - self._epoch_start - apart
        self._energy.sample()
        if not self._work.watching:
            self._work.watch()

    def pause(self, strategy: Any) -> None:
        """What follows is no training: it is timed apart, and neither counted nor measured."""
        synchronise(strategy)
        self._was_counting = self._work.watching
        self._work.unwatch()
        if self._open:
            self._peak.pause()
            self._energy.pause()

    def resume(self, strategy: Any) -> None:
        """Training goes on."""
        if self._open:
            self._peak.resume()
            self._energy.resume()
        if self._was_counting:
            self._work.watch()

    def before_eval(self, strategy: Any, **kwargs: Any) -> None:
        self.pause(strategy)
        self._evaluation_start = time.perf_counter()

    def after_eval(self, strategy: Any, **kwargs: Any) -> None:
        synchronise(strategy)
        seconds = time.perf_counter() - self._evaluation_start
        if self._open:
            self._evaluation_seconds += seconds
        elif self.records:
            self.records[-1]["evaluation_seconds"] += seconds
        self.resume(strategy)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._work.unwatch()
        synchronise(strategy)
        self._open = False
        steps = self._work.steps.total()
        apart = {name: value - self._apart_before[name] for name, value in _seconds_apart(strategy).items()}
        seconds = time.perf_counter() - self._start - self._evaluation_seconds - sum(apart.values())
        watched = sum(self._watched_seconds)
        unwatched = steps - len(self._watched_seconds)
        if unwatched:
            seconds += len(self._watched_seconds) * (self._in_steps - watched) / unwatched - watched
        lanes = self.lanes()
        macs = self._work.macs()
        model = strategy.model
        record: Record = {
            "train_macs": sum(macs.values()),
            "train_seconds": seconds,
            "evaluation_seconds": self._evaluation_seconds,
            **apart,
            "engine": getattr(getattr(strategy, "engine", None), "name", "eager"),
            "steps": steps,
            "trainable_parameters": self._trainable,
            "generated_parameters": getattr(model, "generated_parameters", 0),
            "frozen_parameters": self._frozen,
            "runs_at_once": self.runs_at_once * lanes,
            "reasons": {},
        }
        measured = {
            "train_joules": self._energy.joules(),
            "peak_device_bytes": self._peak.device_bytes(),
            "peak_host_bytes": self._peak.host_bytes(),
        }
        if lanes > 1:
            shared = f"up to {lanes} runs shared the process, and what each took can't be told apart"
            measured |= dict.fromkeys(("train_joules", *_PEAKS), (None, shared))
        for name, (value, reason) in (measured | _told(strategy, macs)).items():
            record[name] = value
            if reason:
                record["reasons"][name] = reason
        self.records.append(record)

    def abandon(self) -> None:
        """Takes the counter off after training was broken off by an error."""
        self._work.unwatch()

    # Use

    def measure_use(self, strategy: Any, x: Tensor, task: int, task_labels: bool = True) -> None:
        """Sets `use` to what `clhyper.evaluation.use.measured_use` finds."""
        self.use = measured_use(strategy, x, task, task_labels)

    # Results

    def total(self) -> Record:
        """Costs of the stream so far, by the names in `COSTS`, and `reasons` for those that are None."""
        if not self.records:
            return {"reasons": {}}
        last = self.records[-1]
        total: Record = {name: last.get(name) for name in COSTS if name not in self.use}
        reasons = {name: why for name, why in last["reasons"].items() if name in COSTS}
        for name in _SUMMED:
            total[name] = sum(record.get(name, 0.0) for record in self.records)
        for name in ("train_joules", *_PEAKS, *_PARTS):
            values: list[Any] = [record.get(name) for record in self.records]
            total[name] = None if None in values else max(values) if name in _PEAKS else sum(values)
            if None in values:
                first = values.index(None)
                reasons[name] = self.records[first]["reasons"].get(name, _EARLIER.format(first + 1))
        for name in ("generation_ms", "batch_ms", "bytes_per_task"):
            total[name] = self.use.get(name)
            if not self.use:
                reasons[name] = "not measured: the stream has not ended"
        reasons.update(self.use.get("reasons", {}))
        return {**total, "reasons": reasons}

    def frame(self) -> "pd.DataFrame":
        """Costs of training, a row an experience; units are in the names, NaN where a cost could not be had."""
        import pandas as pd

        records = [{name: record[name] for name in record if name not in _NO_COST} for record in self.records]
        return pd.DataFrame(records).rename_axis(index="experience")

    @property
    def most_at_once(self) -> int:
        """The most runs that shared the machine in any experience, or since the last one."""
        return max([self.runs_at_once * self.lanes(), *(record.get("runs_at_once", 1) for record in self.records)])

    def state(self) -> dict[str, Any]:
        """What `restore` puts back."""
        return {"records": [dict(record) for record in self.records]}

    def restore(self, state: dict[str, Any]) -> None:
        self.records = [dict(record) for record in state["records"]]


def _told(strategy: Any, macs: Macs) -> dict[str, tuple[Any, str | None]]:
    """What our strategies say and others don't: which part does which work, what is kept, and losses."""
    name = type(strategy).__name__
    told: dict[str, tuple[Any, str | None]] = dict.fromkeys(
        _PARTS, (None, f"{name} doesn't say which part does which work")
    )
    told["bytes_kept"] = None, f"{name} doesn't say what it keeps"
    told["loss_by_epoch"] = None, f"{name} doesn't say its losses"
    if isinstance(strategy.model, SplitModel):
        told |= {f"{part}_macs": (count, None) for part, count in macs.items()}
    if hasattr(strategy, "kept_tensors"):
        keepers = [strategy, *(plugin for plugin in strategy.plugins if hasattr(type(plugin), "kept_tensors"))]
        told["bytes_kept"] = sum(tensor_bytes(keeper.kept_tensors()) for keeper in keepers), None
    if hasattr(strategy, "loss_by_epoch"):
        told["loss_by_epoch"] = [*strategy.loss_by_epoch], None
    return told


def _seconds_apart(strategy: Any) -> dict[str, float]:
    """Seconds so far that our strategies keep apart from training."""
    return {name: getattr(strategy, name, 0.0) for name in ("loading_seconds", "compilation_seconds")}


def _kind_of_step(strategy: Any) -> Hashable:
    tasks = 1
    if len(getattr(strategy.experience, "task_labels", [0])) > 1:
        tasks = strategy.mb_task_id.unique().numel()
    return tuple(strategy.mb_x.shape), tasks
