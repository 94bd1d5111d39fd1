"""Long short-term memory, with layer norm or without.

Source: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000; the layer norm is that of Ba et al.
2016 (arXiv 1607.06450) as Ha, Dai and Le 2016 (arXiv 1609.09106, appendix A.2) use it: of each gate, and of the memory.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GATES = 4
"""input, candidate, forget, output: the order of every tensor's gates"""
FORGET_BIAS = 1.0
"""added to the forget gate, no parameter (Jozefowicz et al. 2015)"""


class State(NamedTuple):
    """What a step hands on: the output `h` and the memory `c`, (batch, units) each."""

    h: Tensor
    c: Tensor


class GateNorm(nn.Module):
    """Layer norm of each gate and of the memory, with a scale and a shift of each unit: 10 units of parameters."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.gate_scale, self.gate_shift = (
            nn.Parameter(torch.ones(GATES, units)),
            nn.Parameter(torch.zeros(GATES, units)),
        )
        self.memory = nn.LayerNorm(units)

    def forward(self, gates: Tensor) -> Tensor:
        """(..., 4, units) to the same shape."""
        return F.layer_norm(gates, gates.shape[-1:]) * self.gate_scale + self.gate_shift


class LSTM(nn.Module):
    """Steps (time, batch, inputs) to outputs (time, batch, units) and the last state.

    It starts with orthogonal recurrent weights, gate by gate, weights of the input by Glorot's rule (ours), and no bias
    but that of the forget gate. Parameters: 4 units (inputs + units + 1), and 10 units with layer norm.

    Args:
        inputs: Features of a step.
        units: Numbers in the output and in the memory.
        layer_norm: Normalise the gates' sums and the memory that the output is made of.
    """

    def __init__(self, inputs: int, units: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.inputs, self.units = inputs, units
        self.of_input = nn.Parameter(torch.empty(GATES * units, inputs))
        self.of_output = nn.Parameter(torch.empty(GATES * units, units))
        self.bias = nn.Parameter(torch.zeros(GATES * units))
        self.norm = GateNorm(units) if layer_norm else None
        start_weights(self.of_input, self.of_output)

    def start(self, batch: int) -> State:
        """The state before the first step: zeros."""
        return State(*self.of_output.new_zeros(2, batch, self.units).unbind())

    def of_inputs(self, x: Tensor) -> Tensor:
        """The input's part of the gates' sums, (..., inputs) to (..., 4 units); of all steps in one product."""
        return F.linear(x, self.of_input, self.bias)

    def step(self, from_input: Tensor, state: State) -> State:
        """One step, from what `of_inputs` gives for it (batch, 4 units)."""
        return moved_on(torch.addmm(from_input, state.h, self.of_output.t()), state.c, self.norm)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = state or self.start(x.shape[1])
        outputs = []
        for from_input in self.of_inputs(x).unbind():
            state = self.step(from_input, state)
            outputs.append(state.h)
        return torch.stack(outputs), state


def start_weights(of_input: Tensor, of_output: Tensor) -> None:
    """Fills the weights of a new cell: (4 units, inputs) by Glorot's rule, (4 units, units) orthogonal in each gate."""
    with torch.no_grad():
        for gate in of_input.chunk(GATES):
            nn.init.xavier_uniform_(gate)
        for gate in of_output.chunk(GATES):
            nn.init.orthogonal_(gate)


def moved_on(sums: Tensor, memory: Tensor, norm: GateNorm | None) -> State:
    """The next state from the gates' sums (batch, 4 units) and the memory (batch, units)."""
    gates = sums.unflatten(-1, (GATES, -1))
    enter, candidate, forget, leave = (gates if norm is None else norm(gates)).unbind(-2)
    memory = memory * (forget + FORGET_BIAS).sigmoid() + enter.sigmoid() * candidate.tanh()
    shown = memory if norm is None else norm.memory(memory)
    return State(leave.sigmoid() * shown.tanh(), memory)
