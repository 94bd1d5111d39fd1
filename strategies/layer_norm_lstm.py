"""Layer-norm LSTM: fine-tuning of an LSTM whose gates and memory are layer-normed; a baseline on streams of sequences.

Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, arXiv 1607.06450, as Ha et al. 2016 (arXiv 1609.09106) use
it.
"""

from dataclasses import dataclass

from strategies.lstm import LSTM, RecurrentOptions

__all__ = ["LayerNormLSTM"]


@dataclass(frozen=True, kw_only=True)
class Options(RecurrentOptions):
    """Hyperparameters of a layer-norm LSTM."""


class LayerNormLSTM(LSTM):
    """The LSTM with layer norm of each gate and of the memory, trained as that is, on

        L = CE(f(x), y)

    of the present experience's sequences alone.
    """

    Options = Options
    layer_norm = True
