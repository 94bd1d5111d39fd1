"""What costs are called, in which unit they are counted, and how a person reads them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from clhyper.measures import ACCURACY, Measure, measure_of


@dataclass(frozen=True)
class Cost:
    """A cost column: its axis label and unit; `measured` if its numbers depend on device and engine."""

    label: str
    unit: str
    prefixed: bool = True
    measured: bool = False


COSTS: dict[str, Cost] = {
    "train_macs": Cost("training compute", "MAC"),
    "front_macs": Cost("training compute of the front", "MAC"),
    "generation_macs": Cost("training compute of generation", "MAC"),
    "back_macs": Cost("training compute of the back", "MAC"),
    "drift_macs": Cost("training compute of the drift", "MAC"),
    "other_macs": Cost("training compute of other passes", "MAC"),
    "train_seconds": Cost("training time", "s", prefixed=False, measured=True),
    "evaluation_seconds": Cost("evaluation time", "s", prefixed=False, measured=True),
    "loading_seconds": Cost("data loading time", "s", prefixed=False, measured=True),
    "compilation_seconds": Cost("compilation time", "s", prefixed=False, measured=True),
    "train_joules": Cost("training energy", "J", measured=True),
    "peak_device_bytes": Cost("peak device memory in training", "B", measured=True),
    "peak_host_bytes": Cost("peak host memory in training", "B", measured=True),
    "trainable_parameters": Cost("trainable parameters", ""),
    "generated_parameters": Cost("parameters generated per task", ""),
    "frozen_parameters": Cost("frozen parameters", ""),
    "bytes_kept": Cost("memory kept between experiences", "B"),
    "generation_ms": Cost("time to generate one task's weights", "ms", prefixed=False, measured=True),
    "batch_ms": Cost("time per batch once weights are generated", "ms", prefixed=False, measured=True),
    "bytes_per_task": Cost("memory to ship one more task", "B"),
}
"""Every cost a figure can have on its axis. Columns hold plain MACs, seconds, milliseconds, bytes and counts; axes
divide by the power of 1000 that `axis_scale` picks."""

_METRICS = {
    "acc": "ACC",
    "bwt": "BWT",
    "fwt": "FWT",
    "bits": "Bits per character",
    "bits_forgetting": "Forgetting",
    "bits_bwt": "BWT",
    "bits_fwt": "FWT",
    "learning_bits": "Bits when learned",
}


def in_words(metric: str) -> str:
    """A metric's name as a person reads it: `Task inference accuracy by entropy`."""
    return _METRICS.get(metric) or metric.replace("_", " ").capitalize()


PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def axis_scale(cost: Cost, values: Iterable[float]) -> tuple[float, str]:
    """What to divide `values` by so that they read easily, and the axis label with its unit."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    power = 0
    if cost.prefixed and sizes:
        middle = (math.log10(min(sizes)) + math.log10(max(sizes))) / 2
        power = min(max(int(middle // 3), 0), len(PREFIXES) - 1)
    unit = PREFIXES[power] + cost.unit
    return 1000.0**power, f"{cost.label} ({unit})" if unit else cost.label


def human_count(value: float, unit: str = "") -> str:
    """A count with three digits and a decimal prefix (`1.23 G`, `8.20 MB`); a dash where nothing was measured."""
    if not math.isfinite(value):
        return "–"  # noqa: RUF001
    power = 0
    while abs(value) >= 999.5 and power < len(PREFIXES) - 1:
        value, power = value / 1000, power + 1
    digits = 0 if power == 0 and value == round(value) else max(0, 2 - len(str(int(abs(value)))) + 1)
    return f"{value:.{digits}f} {PREFIXES[power]}{unit}".rstrip()


def human_seconds(value: float) -> str:
    """Seconds as `8.4 s`, `12.3 min` or `3.4 h`; a dash where nothing was measured."""
    if not math.isfinite(value):
        return "–"  # noqa: RUF001
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def human_fraction(mean: float, interval: float = math.nan, signed: bool = False, measure: Measure = ACCURACY) -> str:
    """A fraction in percent with its 95 % half-width (`92.0 ± 0.4`), without ± where there is no interval.

    measure: what the number is of, where it is no fraction: bits as `1.234 ± 0.012`.
    """
    if not math.isfinite(mean):
        return "–"  # noqa: RUF001
    digits = measure.digits
    rounded = round(measure.factor * mean, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
    text = f"{rounded:+.{digits}f}" if signed and rounded else f"{rounded:.{digits}f}"
    return f"{text} ± {measure.factor * interval:.{digits}f}" if math.isfinite(interval) else text


def human_metric(metric: str, mean: float, interval: float = math.nan, signed: bool = False) -> str:
    """`human_fraction` of a metric by its name, in percent or in bits."""
    return human_fraction(mean, interval, signed, measure_of(metric))


def difference_unit(metric: str) -> str:
    """What differences of a metric are in: points of percent, or bits."""
    measure = measure_of(metric)
    return "points" if measure is ACCURACY else measure.unit
