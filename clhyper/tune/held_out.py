"""Whether a stream really evaluates on held-out images: its own word may be wrong, where it is a third party's."""

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from clhyper.errors import UserError
from clhyper.runs.config import RunConfig

__all__ = ["check_held_out"]


def check_held_out(config: RunConfig) -> None:
    """Makes a trial's stream in another process; raises `UserError` if what it evaluates on is of its test images.

    Quick after `clhyper.runs.local.check_inputs`, which starts the server that the process is forked from.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    try:
        with ProcessPoolExecutor(1, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
            shown = pool.submit(_evaluates_on_test_images, config.benchmark, config.benchmark_options).result()
    except BrokenProcessPool:  # the runs will say why
        return
    if shown:
        raise UserError(
            f"{config.benchmark}: evaluates on test images though asked for held-out ones; it can't be tuned on"
        )


def _evaluates_on_test_images(benchmark: str, options: dict[str, Any]) -> bool:
    import numpy as np

    from clhyper.registry import find

    try:
        stream = find("benchmark", benchmark).load()(**options)
        test_images = stream.images.x_test
        evaluated = [part for e in stream.eval_stream for part in getattr(e.images, "parts", [e.images])]
        return any(np.may_share_memory(images.source, test_images) for images in evaluated)
    except Exception:  # the runs will say why
        return False
