"""How far the gates of a HyperLSTM moved for earlier tasks, seen on the present examples."""

import torch
from torch import Tensor

from clhyper.recurrent.hyper_lstm import HyperLSTM


def gates_along(cell: HyperLSTM, x: Tensor, task: Tensor, h: Tensor) -> Tensor:
    """The main LSTM's gates, before their nonlinearities, where its outputs are given: (time * batch, 4 units).

    Of what the cell generates while it reads [h; x; e] come d_h * W_h h + d_x * W_x x + b, layer-normed if the cell is.

    Args:
        cell: Its hyper cell goes its own way from zeros.
        x: (time, batch, inputs).
        task: (batch, embedding) or (embedding,).
        h: (time, batch, units), the main LSTM's output before each step.
    """
    from_input, to_hyper = cell.of_inputs(x, task)
    state = cell.hyper.start(x.shape[1])
    outputs = []
    for product, before in zip(to_hyper.unbind(), h.unbind(), strict=True):
        state = cell.hyper_step(product, before, state)
        outputs.append(state.h)
    generated = cell.generated(torch.cat(outputs))
    gates = cell.sums(from_input.flatten(0, 1), h.flatten(0, 1), generated)
    if cell.norm is None:
        return gates
    return cell.norm(gates.unflatten(-1, (4, -1))).flatten(-2)


def gate_drift(now: HyperLSTM, before: HyperLSTM, x: Tensor, task: Tensor) -> Tensor:
    """|gates now - gates before|^2, summed over gates and units, its mean over steps and examples: a scalar.

    Both see the outputs that the cell had before as it read the examples for the task; arguments as in `gates_along`.
    """
    with torch.no_grad():
        outputs = before(x, task)[0]
        h = torch.cat([torch.zeros_like(outputs[:1]), outputs[:-1]])
        wanted = gates_along(before, x, task, h)
    return (gates_along(now, x, task, h) - wanted).square().sum(dim=1).mean()
