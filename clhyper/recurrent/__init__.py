"""Recurrent networks over (time, batch, features): LSTM and HyperLSTM, each with layer norm or without."""

from clhyper.recurrent.hyper_lstm import HyperLSTM
from clhyper.recurrent.lstm import LSTM, GateNorm, State

__all__ = ["LSTM", "GateNorm", "HyperLSTM", "State"]
