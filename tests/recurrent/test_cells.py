"""LSTM and HyperLSTM beside the formulas of Ha et al. written out step by step, with their counts and their start."""

import pytest
import torch
from torch.nn import functional as F

from clhyper.recurrent import LSTM, HyperLSTM
from clhyper.recurrent.lstm import FORGET_BIAS

STEPS, BATCH, INPUTS, UNITS, HYPER, FACTORS, TASK = 5, 3, 4, 6, 5, 2, 3
NORMS = pytest.mark.parametrize("layer_norm", [False, True])


def moved(cell):
    """The cell in float64 with every parameter away from where it starts."""
    cell = cell.double()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random, dtype=torch.float64), alpha=0.3)
    return cell


def steps():
    return torch.randn(STEPS, BATCH, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def hyper(layer_norm, task=TASK):
    return HyperLSTM(INPUTS, UNITS, HYPER, FACTORS, layer_norm, task)


def task_embedding():
    return torch.randn(TASK, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def normalised(x):
    x = x - x.mean(-1, keepdim=True)
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def one_step(gates, c, norm):
    """h and c after a step, from a list of the sums i, g, f, o."""
    if norm is not None:
        gates = [normalised(a) * norm.gate_scale[k] + norm.gate_shift[k] for k, a in enumerate(gates)]
    i, g, f, o = gates
    c = torch.sigmoid(f + FORGET_BIAS) * c + torch.sigmoid(i) * torch.tanh(g)
    shown = c if norm is None else normalised(c) * norm.memory.weight + norm.memory.bias
    return torch.sigmoid(o) * torch.tanh(shown), c


def written_out_lstm(cell, x):
    h = c = torch.zeros(BATCH, cell.units, dtype=x.dtype)
    outputs = []
    for now in x:
        gates = [
            now @ w_x.T + h @ w_h.T + b
            for w_x, w_h, b in zip(cell.of_input.chunk(4), cell.of_output.chunk(4), cell.bias.chunk(4), strict=True)
        ]
        h, c = one_step(gates, c, cell.norm)
        outputs.append(h)
    return torch.stack(outputs)


def written_out_hyper_lstm(cell, x, e):
    h = c = torch.zeros(BATCH, UNITS, dtype=x.dtype)
    h_hat = c_hat = torch.zeros(BATCH, HYPER, dtype=x.dtype)
    outputs = []
    for now in x:
        read = torch.cat([h, now, e.expand(BATCH, -1)], dim=1)
        inner = cell.hyper
        small = [
            read @ w_x.T + h_hat @ w_h.T + b
            for w_x, w_h, b in zip(inner.of_input.chunk(4), inner.of_output.chunk(4), inner.bias.chunk(4), strict=True)
        ]
        h_hat, c_hat = one_step(small, c_hat, inner.norm)
        gates = []
        for y in range(4):
            own = slice(y * FACTORS, (y + 1) * FACTORS)
            other = slice((4 + y) * FACTORS, (5 + y) * FACTORS)
            z_h = h_hat @ cell.z_scales.weight[own].T + cell.z_scales.bias[own]
            z_x = h_hat @ cell.z_scales.weight[other].T + cell.z_scales.bias[other]
            z_b = h_hat @ cell.z_shifts.weight[own].T
            d_h, d_x = z_h @ cell.of_z_scales[y], z_x @ cell.of_z_scales[4 + y]
            b = z_b @ cell.of_z_shifts[y] + cell.bias.chunk(4)[y]
            gates.append(d_h * (h @ cell.of_output.chunk(4)[y].T) + d_x * (now @ cell.of_input.chunk(4)[y].T) + b)
        h, c = one_step(gates, c, cell.norm)
        outputs.append(h)
    return torch.stack(outputs)


def gradients(outputs, cell, *others):
    weighting = torch.randn(outputs.shape, dtype=outputs.dtype, generator=torch.Generator().manual_seed(3))
    return torch.autograd.grad((outputs * weighting).sum(), [*cell.parameters(), *others])


@NORMS
def test_an_lstm_and_its_gradients_are_those_of_the_formulas_written_out(layer_norm):
    cell, x = moved(LSTM(INPUTS, UNITS, layer_norm)), steps().requires_grad_()
    ours, plain = cell(x)[0], written_out_lstm(cell, x)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    for one, other in zip(gradients(ours, cell, x), gradients(plain, cell, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@NORMS
def test_a_hyper_lstm_and_its_gradients_are_those_of_the_formulas_written_out(layer_norm):
    cell, x, e = moved(hyper(layer_norm)), steps().requires_grad_(), task_embedding().requires_grad_()
    ours, plain = cell(x, e)[0], written_out_hyper_lstm(cell, x, e)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    for one, other in zip(gradients(ours, cell, x, e), gradients(plain, cell, x, e), strict=True):
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@NORMS
def test_gradients_are_those_of_finite_differences(layer_norm):
    cell = moved(hyper(layer_norm))
    names = [name for name, _ in cell.named_parameters()]

    def outputs(x, e, *values):
        return torch.func.functional_call(cell, dict(zip(names, values, strict=True)), (x, e))[0]

    values = [parameter.detach().clone().requires_grad_() for parameter in cell.parameters()]
    inputs = steps()[:2].requires_grad_(), task_embedding().requires_grad_(), *values
    assert torch.autograd.gradcheck(outputs, inputs, fast_mode=True)


def test_a_plain_lstm_is_torchs_with_the_forget_bias():
    cell, x = moved(LSTM(INPUTS, UNITS)), steps()
    torchs = torch.nn.LSTM(INPUTS, UNITS, dtype=torch.float64)
    order = [0, 2, 1, 3]  # torch's gates are input, forget, candidate, output
    bias = torch.stack([b + FORGET_BIAS * (gate == 2) for gate, b in enumerate(cell.bias.chunk(4))])[order].flatten()
    weights = {
        "weight_ih_l0": torch.stack(cell.of_input.chunk(4))[order].flatten(0, 1),
        "weight_hh_l0": torch.stack(cell.of_output.chunk(4))[order].flatten(0, 1),
        "bias_ih_l0": bias,
        "bias_hh_l0": torch.zeros_like(bias),
    }
    torchs.load_state_dict(weights)
    torch.testing.assert_close(cell(x)[0], torchs(x)[0], rtol=1e-12, atol=1e-12)


@NORMS
def test_a_whole_sequence_is_read_as_step_by_step(layer_norm):
    x, e = steps(), task_embedding()
    for cell, task in ((moved(LSTM(INPUTS, UNITS, layer_norm)), ()), (moved(hyper(layer_norm)), (e,))):
        whole, last = cell(x, *task)
        state, outputs = None, []
        for now in x.split(1):
            output, state = cell(now, *task, state=state)
            outputs.append(output)
        torch.testing.assert_close(whole, torch.cat(outputs), rtol=1e-12, atol=1e-12)
        parts = [*last] if isinstance(cell, LSTM) else [*last.main, *last.hyper]
        again = [*state] if isinstance(cell, LSTM) else [*state.main, *state.hyper]
        for one, other in zip(parts, again, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@NORMS
def test_at_the_start_every_d_is_a_tenth_and_b_its_constant_part_for_any_input(layer_norm):
    cell = hyper(layer_norm)
    with torch.no_grad():
        cell.bias.copy_(torch.arange(4.0 * UNITS))
    generated = cell.generated(50 * torch.randn(7, HYPER))
    for d in (generated.d_h, generated.d_x):
        torch.testing.assert_close(d, torch.full((7, 4 * UNITS), 0.1))
    assert torch.equal(generated.b, cell.bias.expand(7, -1))


@NORMS
def test_recurrent_weights_start_orthogonal_in_each_gate_and_biases_at_zero(layer_norm):
    cell = hyper(layer_norm)
    for weights, size in ((cell.of_output, UNITS), (cell.hyper.of_output, HYPER), (LSTM(2, UNITS).of_output, UNITS)):
        for gate in weights.chunk(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(size), rtol=0, atol=1e-5)
    for zero in (cell.bias, cell.hyper.bias, cell.z_scales.weight):
        assert not zero.any()
    assert (cell.z_scales.bias == 1).all()


def test_a_new_lstm_forgets_as_if_its_forget_gate_had_a_bias_of_one():
    cell = LSTM(INPUTS, UNITS)
    state = cell.start(1)._replace(c=torch.ones(1, UNITS))
    after = cell.step(torch.zeros(1, 4 * UNITS), state)
    torch.testing.assert_close(after.c, torch.full((1, UNITS), 1 / (1 + torch.e**-1)))


@pytest.mark.parametrize(
    ("characters", "units", "hyper_units", "factors", "published"),
    [(50, 1000, 128, 4, 4_911_874), (205, 1800, 256, 64, 18_708_213)],
)
def test_a_hyper_lstm_with_its_softmax_has_the_papers_parameters(characters, units, hyper_units, factors, published):
    with torch.device("meta"):
        for layer_norm in (False, True):
            cell = HyperLSTM(characters, units, hyper_units, factors, layer_norm)
            softmax = torch.nn.Linear(units, characters)
            count = sum(p.numel() for module in (cell, softmax) for p in module.parameters())
            assert count == published + layer_norm * 10 * (units + hyper_units)


@NORMS
def test_an_lstm_has_the_parameters_of_its_formula(layer_norm):
    count = sum(p.numel() for p in LSTM(INPUTS, UNITS, layer_norm).parameters())
    assert count == 4 * UNITS * (INPUTS + UNITS + 1) + layer_norm * 10 * UNITS


@NORMS
def test_gates_are_normalised_one_by_one(layer_norm):
    cell = LSTM(INPUTS, UNITS, layer_norm)
    with torch.no_grad():
        sums = torch.randn(2, 4, UNITS) * torch.tensor([1.0, 10, 100, 1000])[:, None]
        gates = cell.norm(sums) if layer_norm else sums
    spread = gates.var(-1, unbiased=False).sqrt()
    assert torch.allclose(spread, torch.ones(2, 4), atol=1e-3) == layer_norm
    if layer_norm:
        torch.testing.assert_close(gates, F.layer_norm(sums, (UNITS,)))
