"""HyperLSTM: a small LSTM that scales the weights of a large one at every step.

Source: Ha, Dai and Le, "HyperNetworks", 2016, arXiv 1609.09106, appendix A.2.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clhyper.parts import part
from clhyper.recurrent.lstm import GATES, LSTM, GateNorm, State, moved_on, start_weights

SCALE = 0.1
"""of every weight at the start"""
SHIFT_DEVIATION = 0.01
"""standard deviation of the weights that make z_b"""


class HyperState(NamedTuple):
    """The states of the main LSTM and of the hyper cell."""

    main: State
    hyper: State


class Generated(NamedTuple):
    """What the hyper cell generates for a step: `d_h`, `d_x` scale the rows of W_h and W_x, `b` is the bias.

    Each is (..., 4 units).
    """

    d_h: Tensor
    d_x: Tensor
    b: Tensor


class HyperLSTM(nn.Module):
    """Steps (time, batch, inputs) to outputs (time, batch, units) and the last states.

    The hyper cell reads [h; x; e]: the main LSTM's last output, the input and, in a stream (ours), the task's
    embedding. Of its output it makes z_h, z_x and z_b for each gate, and of these d_h = W_hz z_h, d_x = W_xz z_x and
    b = W_bz z_b + b_0; the main LSTM's gates are

        LN(d_h * W_h h + d_x * W_x x + b)

    At the start z_h and z_x are 1 and W_hz, W_xz are 0.1 / N_z, so that every d is 0.1, and W_bz is 0, so that b is
    b_0, which is 0, whatever the input.

    Parameters, with V inputs, n units, m hyper units, N = N_z and E numbers of an embedding:
    4m (n + V + E + m + 1) + 4 (3mN + 2N) + 12nN + 4n + 4n^2 + 4nV, and 10 (n + m) with layer norm.

    Args:
        inputs: Features of a step.
        units: Numbers in the output and in the memory of the main LSTM.
        hyper_units: The same of the hyper cell.
        factors: N_z, numbers in z of a gate.
        layer_norm: Normalise both LSTMs.
        embedding: Numbers that the hyper cell reads beside output and input.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        hyper_units: int = 128,
        factors: int = 4,
        layer_norm: bool = False,
        embedding: int = 0,
    ) -> None:
        super().__init__()
        self.inputs, self.units, self.factors, self.embedding = inputs, units, factors, embedding
        self.hyper = LSTM(units + inputs + embedding, hyper_units, layer_norm)
        self.z_scales = nn.Linear(hyper_units, 2 * GATES * factors)
        self.z_shifts = nn.Linear(hyper_units, GATES * factors, bias=False)
        self.of_z_scales = nn.Parameter(torch.full((2 * GATES, factors, units), SCALE / factors))
        self.of_z_shifts = nn.Parameter(torch.zeros(GATES, factors, units))
        self.bias = nn.Parameter(torch.zeros(GATES * units))
        self.of_input = nn.Parameter(torch.empty(GATES * units, inputs))
        self.of_output = nn.Parameter(torch.empty(GATES * units, units))
        self.norm = GateNorm(units) if layer_norm else None
        start_weights(self.of_input, self.of_output)
        nn.init.zeros_(self.z_scales.weight)
        nn.init.ones_(self.z_scales.bias)
        nn.init.normal_(self.z_shifts.weight, std=SHIFT_DEVIATION)

    def start(self, batch: int) -> HyperState:
        """The states before the first step: zeros."""
        return HyperState(State(*self.of_output.new_zeros(2, batch, self.units).unbind()), self.hyper.start(batch))

    def of_inputs(self, x: Tensor, task: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The input's part of both LSTMs' sums, before scaling: (..., 4 units) and (..., 4 hyper units).

        Args:
            x: (..., batch, inputs), of one step or of all in one product.
            task: (batch, embedding), or (embedding,) for the whole batch.
        """
        _, of_x, of_task = self._hyper_weights
        with part("generation"):
            to_hyper = F.linear(x, of_x, self.hyper.bias)
            if self.embedding:
                assert task is not None
                to_hyper = to_hyper + F.linear(task, of_task)
        return F.linear(x, self.of_input), to_hyper

    @property
    def _hyper_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """The hyper cell's weights of h, x and e."""
        of_h, of_x, of_task = self.hyper.of_input.split([self.units, self.inputs, self.embedding], dim=1)
        return of_h, of_x, of_task

    def hyper_step(self, to_hyper: Tensor, h: Tensor, state: State) -> State:
        """The hyper cell's next state, from what `of_inputs` gives for it (batch, 4 hyper units) and the output h."""
        return self.hyper.step(torch.addmm(to_hyper, h, self._hyper_weights[0].t()), state)

    def generated(self, hyper: Tensor) -> Generated:
        """What is generated of the hyper cell's outputs (rows, hyper units)."""
        scales = self.z_scales(hyper).unflatten(-1, (2 * GATES, self.factors)).transpose(0, 1) @ self.of_z_scales
        shifts = self.z_shifts(hyper).unflatten(-1, (GATES, self.factors)).transpose(0, 1) @ self.of_z_shifts
        d_h, d_x = scales.transpose(0, 1).flatten(1).chunk(2, dim=1)
        return Generated(d_h, d_x, shifts.transpose(0, 1).flatten(1) + self.bias)

    def sums(self, from_input: Tensor, h: Tensor, generated: Generated) -> Tensor:
        """The gates' sums d_h * W_h h + d_x * W_x x + b, of rows: (rows, 4 units)."""
        scaled = torch.addcmul(generated.b, generated.d_x, from_input)
        return torch.addcmul(scaled, generated.d_h, F.linear(h, self.of_output))

    def step(self, from_input: Tensor, to_hyper: Tensor, state: HyperState) -> HyperState:
        """One step, from what `of_inputs` gives for it."""
        with part("generation"):
            hyper = self.hyper_step(to_hyper, state.main.h, state.hyper)
            generated = self.generated(hyper.h)
        sums = self.sums(from_input, state.main.h, generated)
        return HyperState(moved_on(sums, state.main.c, self.norm), hyper)

    def forward(
        self, x: Tensor, task: Tensor | None = None, state: HyperState | None = None
    ) -> tuple[Tensor, HyperState]:
        state = state or self.start(x.shape[1])
        outputs = []
        products = self.of_inputs(x, task)
        for from_input, to_hyper in zip(*(product.unbind() for product in products), strict=True):
            state = self.step(from_input, to_hyper, state)
            outputs.append(state.main.h)
        return torch.stack(outputs), state
