import pytest
import torch

from benchmarks import SplitDigits
from clhyper.evaluation import CostMeter
from clhyper.evaluation.memory import PeakMemory
from strategies import FullHypernetwork


def test_what_is_kept_for_evaluation_is_left_out_of_the_peak():
    kept = 0
    peak = PeakMemory(torch.device("cpu"), lambda: kept)
    before, reason = peak.host_bytes()
    if before is None:
        pytest.skip(reason)
    kept = 2**28
    assert before - 2**27 > peak.host_bytes()[0] >= before - kept
    kept = 0
    peak.pause()
    kept = 2**28
    assert peak.host_bytes()[0] >= before


def test_the_cost_meter_knows_what_a_strategy_keeps_for_evaluation(monkeypatch):
    stream = SplitDigits()
    peaks = []
    monkeypatch.setattr(PeakMemory, "host_bytes", lambda self: peaks.append(self.apart()) or (0, None))
    strategy = FullHypernetwork(stream.backbone(), epochs=1, plugins=[CostMeter()])
    strategy.train(stream.train_stream[0], eval_streams=[[stream.test_stream[0]]])
    strategy.eval(stream.test_stream)
    strategy.train(stream.train_stream[1], eval_streams=[])
    assert peaks[-1] == strategy.supply.evaluation_bytes == 64 * len(stream.test_stream[0].images)
