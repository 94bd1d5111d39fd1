"""Times what reads many runs: the first time, and again with an index; and measures the memory that it takes.

Run `python benchmarks/speed/results.py --runs 10000`; `--help` lists the options. Each row is a process of its own.
Without `--results`, synthetic runs are written to a temporary folder first.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import tyro

from clhyper.runs.index import INDEX

_SETTLING = 2.5
"""Seconds after which a written run is trusted to stay as it is."""


@dataclass(frozen=True)
class Options:
    """How many runs are read."""

    runs: int = 10_000
    """number of synthetic runs"""
    repetitions: int = 10
    """seeds of each configuration"""
    results: Path | None = None
    """folder of runs to read instead; its index is thrown away"""


def load(results: Path) -> int:
    """Runs in the folder."""
    from clhyper.runs import load

    return len(load(results))


def load_matrix(results: Path) -> int:
    """Cells of accuracy matrices."""
    from clhyper.runs import load_matrix

    return len(load_matrix(results))


def load_experiences(results: Path) -> int:
    """Trained experiences."""
    from clhyper.runs import load_experiences

    return len(load_experiences(results))


def table(results: Path) -> int:
    """Lines that `clhyper table` prints."""
    from clhyper.cli.main import main

    printed = StringIO()
    with redirect_stdout(printed), tempfile.TemporaryDirectory() as output:
        main(["table", str(results), "--output", output])
    return len(printed.getvalue().splitlines())


def report(results: Path) -> int:
    """Bytes of the page that `clhyper report` writes."""
    from clhyper.cli.main import main

    with redirect_stdout(StringIO()), tempfile.TemporaryDirectory() as output:
        page = Path(output) / "report.html"
        main(["report", str(results), "--output", str(page)])
        return page.stat().st_size


def in_own_process(read: Callable[[Path], int], results: Path) -> tuple[int, float, float, float]:
    """`measured` in a process that has done nothing else."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: Any = pool.apply(measured, (read, results))
    count, seconds, computed, memory = found
    return count, seconds, computed, memory


def measured(read: Callable[[Path], int], results: Path) -> tuple[int, float, float, float]:
    """Rows read, seconds, seconds of processors, and the process's peak memory in MB; imports are left out."""
    import pandas  # noqa: F401

    start, computed = time.perf_counter(), time.process_time()
    rows = read(results)
    seconds, computed = time.perf_counter() - start, time.process_time() - computed
    return rows, seconds, computed, _peak()


def _peak() -> float:
    """MB. What the system says of a process may be of the one that it was begun by, so its present memory is asked."""
    status = Path("/proc/self/status")
    if status.is_file():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main(options: Options) -> None:
    if options.results is None:
        from benchmarks.speed.synthetic_runs import synthetic_runs  # and with it torch, which weighs 800 MB

        with tempfile.TemporaryDirectory() as temporary:
            synthetic_runs(Path(temporary), options.runs, options.repetitions)
            time.sleep(_SETTLING)
            return time_reading(Path(temporary))
    return time_reading(options.results)


def time_reading(results: Path) -> None:
    """Prints a row for each reader."""
    (results / INDEX).unlink(missing_ok=True)
    rows: tuple[tuple[str, Callable[[Path], int]], ...] = (
        ("load, no index", load),
        ("load, index", load),
        ("load_matrix", load_matrix),
        ("load_experiences", load_experiences),
        ("clhyper table", table),
        ("clhyper report (bytes of its page)", report),
    )
    print("| read | rows | seconds | processor seconds | peak MB |\n|---|---:|---:|---:|---:|")
    for name, read in rows:
        count, seconds, computed, memory = in_own_process(read, results)
        print(f"| {name} | {count} | {seconds:.2f} | {computed:.2f} | {memory:.0f} |")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
