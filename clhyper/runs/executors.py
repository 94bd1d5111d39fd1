"""Where the runs of a sweep are executed: by one small interface, processes of this machine or a cluster."""

import dataclasses
import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from clhyper.errors import require, unknown
from clhyper.runs.config import RunConfig
from clhyper.runs.outcome import Outcome, Report

EXECUTORS = {
    "local": "clhyper.runs.executors:LocalExecutor",
    "ray": "clhyper.runs.ray_executor:RayExecutor",
    "slurm": "clhyper.runs.slurm_executor:SlurmExecutor",
}
"""Where each executor's class is, by its name."""
_PACKAGES = {"ray": "ray", "slurm": "submitit"}


class Executor(Protocol):
    """Executes runs, wherever it has room for them."""

    def execute(self, configs: Iterable[RunConfig], results: Path, report: Report) -> dict[str, Outcome]:
        """Runs every configuration into `results` and returns the outcomes by the configurations' names.

        Args:
            configs: A list is started in its order. What has no length, such as a generator, is drawn from only when
                there is room for one more run, after `report` was told of all that ended before.
            results: Folder that has one folder a run.
            report: Told of each run as it goes on; in answer to a `Progress` it may stop the run.

        Raises:
            UserError: bad input. In a list, of any of the runs, before the first one starts.
        """
        ...


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this machine. `jobs`: at once for each device; `runs_per_device`: runs side by side in each.

    `devices`: that runs are spread over, such as cuda:0 and cuda:1, in place of the device that they name.
    """

    jobs: int = 1
    runs_per_device: int | Literal["auto"] = 1
    devices: tuple[str, ...] = ()

    def execute(self, configs: Iterable[RunConfig], results: Path, report: Report) -> dict[str, Outcome]:
        """As `clhyper.runs.local.execute`, which says more."""
        from clhyper.runs.local import execute

        return execute(configs, results, self.jobs, report, self.runs_per_device, self.devices)


def executor(name: str, **options: Any) -> Executor:
    """The executor called `name`, with options that are the fields of its class.

    Raises:
        UserError: no such executor or option, a value that is none, or a package that isn't installed.
    """
    if name not in EXECUTORS:
        raise unknown("executor", name, EXECUTORS)
    package = _PACKAGES.get(name)
    require(
        package is None or importlib.util.find_spec(package) is not None,
        f'executor {name} needs {package}: pip install "clhyper[{name}]"',
    )
    module, _, kind = EXECUTORS[name].partition(":")
    chosen = getattr(importlib.import_module(module), kind)
    known = [field.name for field in dataclasses.fields(chosen)]
    for option in options:
        if option not in known:
            raise unknown(f"option of executor {name}", option, known)
    built: Executor = chosen(**options)
    return built
