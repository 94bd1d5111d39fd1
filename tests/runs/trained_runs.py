"""Small runs of any strategy of the registry, for the tests beside this file."""

import contextlib
from pathlib import Path
from typing import Any

from small_sweeps import HYPERNETWORK, REPLAY, STREAM, TRAINING

from clhyper.registry import entries, find, option_defaults
from clhyper.runs import make_config
from clhyper.runs.run import run

STRATEGIES = [name for name, entry in entries("strategy").items() if not entry.constant("reads_sequences", False)]
WITHOUT_LABELS = [name for name in STRATEGIES if not find("strategy", name).constant("needs_task_labels", False)]


def trained_run(archive: Path, results: Path, strategy: str, stop_after: int | None = None, **options: Any) -> Path:
    """The folder of a run of two experiences, complete or stopped after some of them; `options` go to either."""
    learner, stream = (
        option_defaults(find(*kind).options()) for kind in (("strategy", strategy), ("benchmark", "split-npz"))
    )
    chosen = {**TRAINING, **HYPERNETWORK, **REPLAY, "freeze_depth": 1, **options}
    config = make_config(
        "split-npz",
        strategy,
        {**STREAM, "augmentation": "none", "experiences": 2, "data": archive, **_known(options, stream)},
        _known(chosen, learner),
        threads=1,
        device=options.get("device", "cpu"),
    )

    def stop(progress: Any) -> None:
        if progress.experience > stop_after:
            raise KeyboardInterrupt

    if stop_after is None:
        outcome = run(config, results)
        assert outcome.status in ("complete", "skipped"), outcome.reason
    else:
        with contextlib.suppress(KeyboardInterrupt):
            run(config, results, stop)
    return results / config.name


def _known(options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in known}
