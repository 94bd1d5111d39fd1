"""Joules come from the hardware's own counters, or there are none and the reason is said."""

import pytest
import torch

import clhyper.evaluation.energy as energy
from benchmarks import SplitDigits
from clhyper.evaluation import CostMeter
from clhyper.evaluation.energy import EnergyMeter
from strategies import Naive

CPU = torch.device("cpu")


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """Two packages and a part of one, in the kernel's layout; gives a function that sets their counters."""
    parts = {"intel-rapl:0": 1000, "intel-rapl:1": 10**9, "intel-rapl:0:0": 10**9, "intel-rapl-mmio:0": 10**9}
    for name, limit in parts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "max_energy_range_uj").write_text(f"{limit}\n")
    (tmp_path / "intel-rapl").mkdir()
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)

    def set_to(first, second):
        for name, value in zip(parts, (first, second, 77, 88), strict=True):
            (tmp_path / name / "energy_uj").write_text(f"{value}\n")

    set_to(0, 0)
    return set_to


def test_the_packages_counters_are_added_and_their_parts_are_not(powercap):
    powercap(100, 5_000_000)
    meter = EnergyMeter(CPU)
    powercap(600, 7_000_000)
    assert meter.joules() == (pytest.approx(2.0005), None)


def test_a_counter_that_wraps_around_between_two_readings_goes_on(powercap):
    powercap(900, 0)
    meter = EnergyMeter(CPU)
    powercap(100, 0)
    meter.sample()
    powercap(50, 0)
    assert meter.joules()[0] == pytest.approx((201 + 951) / 1e6)


def test_what_lies_between_pause_and_resume_does_not_count(powercap):
    meter = EnergyMeter(CPU)
    powercap(0, 1_000_000)
    meter.pause()
    powercap(0, 50_000_000)
    meter.resume()
    powercap(0, 52_000_000)
    assert meter.joules()[0] == pytest.approx(3)


def test_a_counter_that_can_no_longer_be_read_has_no_joules_but_a_reason(powercap, tmp_path):
    meter = EnergyMeter(CPU)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    value, reason = meter.joules()
    assert value is None
    assert "can't be read" in reason


def test_a_system_without_counters_has_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path / "nothing")
    assert EnergyMeter(CPU).joules() == (None, "this system has no RAPL counters (/sys/class/powercap)")


def test_runs_that_share_a_machine_have_no_energy_of_their_own(powercap):
    value, reason = EnergyMeter(CPU, sharing=3).joules()
    assert value is None
    assert "3 runs shared the machine" in reason


def learned(meter, experiences, device="cpu", epochs=2):
    stream = SplitDigits()
    strategy = Naive(stream.backbone(), epochs=epochs, plugins=[meter], device=device)
    for experience in stream.train_stream[:experiences]:
        strategy.train(experience)
    return strategy


def test_a_stream_s_joules_are_those_of_its_experiences_or_none_with_the_reason(powercap, monkeypatch):
    reads = iter(range(0, 10**9, 1_000_000))
    read = energy._Rapl.read
    monkeypatch.setattr(energy._Rapl, "read", lambda self: (powercap(0, next(reads)), read(self))[1])
    meter = CostMeter()
    learned(meter, 2)
    joules = [record["train_joules"] for record in meter.records]
    assert min(joules) >= 3  # it is read at the start, after each of two epochs and at the end
    assert meter.total()["train_joules"] == pytest.approx(sum(joules))
    meter.records[0]["train_joules"] = None
    meter.records[0]["reasons"]["train_joules"] = "shared then"
    assert meter.total()["train_joules"] is None
    assert meter.total()["reasons"]["train_joules"] == "shared then"


@pytest.mark.gpu
def test_a_gpu_counts_joules_of_training():
    meter = CostMeter()
    learned(meter, 1, "cuda", epochs=500)  # the counter moves about ten times a second
    record = meter.records[0]
    assert record["train_joules"] is not None, record["reasons"]
    assert 0 < record["train_joules"] < 1500 * (record["train_seconds"] + 20)
