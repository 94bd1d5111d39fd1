"""forgetting against cost on scikit-learn's digits, in about three minutes on two cores"""

from pathlib import Path

from clhyper.cli.common import cores, jobs_and_threads, run_flags
from clhyper.cli.flags import Flag, parse
from clhyper.runs.executors import LocalExecutor
from clhyper.runs.sweep import plan

_FOLDER = Path("results/runs/demo")
_STRATEGIES = ["naive", "joint", "separate", "latent-replay", "full-hypernetwork", "partial-hypernetwork"]
_OPTIONS = {"epochs": 10, "batch_size": 16}


def main(arguments: list[str]) -> int:
    """Runs a sweep on digits, then makes its table and figures."""
    from clhyper.cli.plot import draw
    from clhyper.cli.sweep import execute_and_show
    from clhyper.cli.table import main as table

    flags = [Flag("jobs", int, cores(), "runs at once"), *(f for f in run_flags({}) if f.name in ("results", "quiet"))]
    flags = [Flag(f.name, f.type, _FOLDER, f.help) if f.name == "results" else f for f in flags]
    values = parse("clhyper demo", "Trains on split digits and draws forgetting against cost.", flags, arguments)
    configs = [
        *plan("split-digits", ["naive", "joint"], seeds=range(3), strategy_options=_OPTIONS),
        *plan("split-digits", ["separate"], depths=[1], seeds=range(3), strategy_options=_OPTIONS),
        *plan("split-digits", _STRATEGIES[3:], depths=[1, 2, 3], seeds=range(3), strategy_options=_OPTIONS),
    ]
    folder = values["results"]
    jobs, _ = jobs_and_threads(values["jobs"], None, "cpu")
    code = execute_and_show(configs, folder, LocalExecutor(jobs), values["quiet"])
    if not values["quiet"]:
        table([str(folder)])
    for path in draw(folder, folder / "figures", "train_macs"):
        if not values["quiet"]:
            print(path)
    return code
