"""The fronts of a study on the command line: checked, trained under a display, and what becomes of their runs."""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from clhyper.cli.sweep import check_results
from clhyper.errors import RunError
from clhyper.runs.config import RunConfig
from clhyper.runs.fronts import Front
from clhyper.runs.outcome import Outcome
from clhyper.runs.study import Planned


def checked_fronts(planned: Sequence[Planned]) -> list[Front]:
    """The fronts that the runs take, seen to fit them; raises `UserError` if one doesn't."""
    from clhyper.runs.study_fronts import fronts_of

    if fronts := fronts_of(planned):
        from clhyper.runs.study_front_check import check_fronts

        check_fronts(planned)
    return fronts


def train_fronts(fronts: Sequence[Front], results: Path, threads: int, quiet: bool) -> dict[str, str]:
    """Trains those fronts that aren't among the results yet, under a display.

    Returns:
        By the file of each whose training failed, why.

    Raises:
        UserError: the results can't be written, or a front that is there can't be used.
        SystemExit: 130, after Ctrl-C, with a note on what begins anew.
    """
    from clhyper.cli.main import EXIT_INTERRUPTED

    if not fronts:
        return {}
    import torch

    from clhyper.cli.display import Display
    from clhyper.runs.study_fronts import train_front

    check_results(results)
    torch.set_num_threads(threads)
    failed: dict[str, str] = {}
    front = fronts[0]
    try:
        with Display(len(fronts), quiet) as display:
            for front in fronts:
                shown = RunConfig(benchmark=front.benchmark, strategy=f"front {front.file}", seed=front.seed)
                display.labels[shown.name] = f"front {front.name}"
                try:
                    outcome = train_front(front, results, functools.partial(display.update, shown))
                except RunError as error:
                    failed[front.file] = str(error)
                    reason = str(error).removeprefix(f"front {front.name}: ")
                    outcome = Outcome("failed", front.path(results), f"{reason}; nor can the runs go that take it")
                display.update(shown, outcome)
    except KeyboardInterrupt:
        note = f"stopped; the same command trains front {front.name} from its beginning"
        print(f"\nclhyper: {note}", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None
    if any(front.device.startswith("cuda") for front in fronts):
        torch.cuda.empty_cache()  # the runs' processes need the room
    return failed


def without_failed(planned: Sequence[Planned], failed: dict[str, str], results: Path) -> list[RunConfig]:
    """The runs whose fronts are there; notes of the others, where they aren't complete, why they failed."""
    from clhyper.runs.folder import RunFolder

    able = []
    for one in planned:
        if one.front is None or one.front.file not in failed:
            able.append(one.config)
            continue
        folder = RunFolder(results, one.config)
        if not folder.complete:
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.fail(failed[one.front.file])
    return able
