"""What use of a trained model costs: generation, prediction, and the bytes of one more task."""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_REPEATS = 10


def measured_use(strategy: Any, x: Tensor, task: int, task_labels: bool = True) -> dict[str, Any]:
    """Times the trained model on a batch of prepared images (batch, channels, height, width) of one task.

    `generation_ms` and `batch_ms`: the median milliseconds of generation and of prediction with generated weights.
    `bytes_per_task`: those of the tensors that serve the task alone, which a device that has what tasks share must be
    sent; without `task_labels` no task has any of its own. `reasons`: why one of them is None, by its name.
    """
    model = strategy.model
    was_training = model.training
    model.eval()
    reasons: dict[str, str] = {}
    try:
        with torch.no_grad():
            tasks = torch.full((len(x),), task, device=x.device)
            batch = _milliseconds(strategy, lambda: _predict(model, x, tasks))
            generation = None
            if getattr(model, "generated_parameters", 0):
                generation = _milliseconds(strategy, lambda: model.generate(task))
            else:
                reasons["generation_ms"] = "nothing is generated"
    finally:
        model.train(was_training)
    per_task = None
    if not task_labels:
        reasons["bytes_per_task"] = "without task labels all classes share one head: no task has its own"
    elif hasattr(model, "task_tensors"):
        per_task = tensor_bytes(model.task_tensors(task))
    else:
        reasons["bytes_per_task"] = f"{type(model).__name__} doesn't say what a task adds"
    return {"generation_ms": generation, "batch_ms": batch, "bytes_per_task": per_task, "reasons": reasons}


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors together."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def synchronise(strategy: Any) -> None:
    """Waits for what a strategy's device has been asked to do, but not for other runs side by side."""
    if strategy.device.type == "cuda":
        torch.cuda.current_stream(strategy.device).synchronize()


def _milliseconds(strategy: Any, function: Callable[[], object]) -> float:
    function()
    times = []
    for _ in range(_REPEATS):
        synchronise(strategy)
        start = time.perf_counter()
        function()
        synchronise(strategy)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def _predict(model: Any, x: Tensor, tasks: Tensor) -> Tensor:
    from avalanche.models import avalanche_forward

    if hasattr(model, "classes_of"):
        return model(x, int(tasks[0]))
    return avalanche_forward(model, x, tasks)
