import math

import pytest
import torch
from small_t5 import batch, small_t5
from torch.func import functional_call
from transformers import T5Config, T5ForConditionalGeneration

from clhyper.errors import UserError
from clhyper.text.hyperloader import HyperLoader
from clhyper.text.modules import adapter, applied, shapes


def loader(tasks=2, seed=0, **options):
    t5 = small_t5(seed)
    torch.manual_seed(seed + 1)
    model = HyperLoader(t5, reduction=8, rank=3, **options)
    for _ in range(tasks):
        model.add_task()
    return model


def zero_weights(t5):
    return {name: torch.zeros(shape) for name, shape in shapes(t5, 8, 3).items()}


@pytest.mark.parametrize(("rank", "count"), [(8, 6_926_768), (0, 5_329_328)])
def test_t5_base_with_seven_tasks_trains_as_many_parameters_as_published_and_512_more_with_each(rank, count):
    config = T5Config(d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12)
    with torch.device("meta"):
        model = HyperLoader(T5ForConditionalGeneration(config), rank=rank)
        for _ in range(7):
            model.add_task()
        assert sum(p.numel() for p in model.trained_parameters()) == count
        model.add_task()
        assert sum(p.numel() for p in model.trained_parameters()) == count + 512
        model.freeze_norms()
        assert sum(p.numel() for p in model.trained_parameters()) == count + 512 - 62 * 768


def test_with_adapters_and_lora_at_zero_the_model_is_t5_bit_for_bit():
    t5, inputs = small_t5(), batch()
    plain = t5(**inputs).logits
    with applied(t5, zero_weights(t5)):
        assert torch.equal(t5(**inputs).logits, plain)


def test_outside_the_context_nothing_of_the_t5_has_changed_even_after_an_error():
    model, inputs = loader(), batch()
    plain = model.t5(**inputs).logits
    with model.serving(0):
        assert not torch.equal(model.t5(**inputs).logits, plain)
    with pytest.raises(ValueError, match="exactly one"), model.serving(0):
        model.t5(labels=inputs["labels"])
    assert torch.equal(model.t5(**inputs).logits, plain)


def test_generators_start_small_and_without_bias():
    hypernetwork = loader(1).hypernetwork
    for stack in (hypernetwork.encoder, hypernetwork.decoder):
        for linear in (stack.down, stack.up, stack.norm, stack.lora_a, stack.lora_b):
            assert not linear.bias.any()
            assert linear.weight.std().item() == pytest.approx(0.01, rel=0.15)


def test_an_adapter_is_a_norm_of_its_bottleneck_plus_what_comes_in():
    torch.manual_seed(0)
    x, down, up = torch.randn(2, 5, 16), torch.randn(4, 16), torch.randn(16, 4)
    down_bias, up_bias, scale, shift = torch.randn(4), torch.randn(16), torch.randn(16), torch.randn(16)
    inner = x @ down.T + down_bias
    inner = (inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))) @ up.T + up_bias
    centred = inner - inner.mean(-1, keepdim=True)
    expected = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * scale + shift + x
    assert torch.allclose(adapter(x, down, down_bias, up, up_bias, scale, shift), expected, atol=1e-5)


def test_an_adapter_follows_each_self_attention_and_each_feed_forward():
    t5, inputs = small_t5(), batch()
    for stack, layer, place in (("encoder", 2, 0), ("encoder", 0, -1), ("decoder", 1, 0), ("decoder", 0, -1)):
        weights = zero_weights(t5)
        name = "attention_adapter" if place == 0 else "feed_forward_adapter"
        weights[f"{stack}.{name}.shift"][layer] = 0.5
        seen = []
        sublayer = getattr(t5, stack).block[layer].layer[place]
        handle = sublayer.register_forward_hook(lambda _, __, given, seen=seen: seen.append(given))
        t5(**inputs)
        with applied(t5, weights):
            t5(**inputs)
        handle.remove()
        plain, adapted = (given[0] if isinstance(given, tuple) else given for given in seen)
        assert torch.allclose(adapted, plain + 0.5, atol=1e-6)


def test_lora_changes_queries_and_values_of_self_and_cross_attention_and_nothing_else():
    t5, inputs = small_t5(), batch()
    torch.manual_seed(3)
    weights = {name: torch.randn(shape) / 10 for name, shape in shapes(t5, 8, 3).items() if "lora" in name}
    changed = dict(t5.state_dict())
    for name in changed:
        parts = name.split(".")
        if parts[-2] in ("q", "v"):
            kind = "cross_lora" if "EncDecAttention" in name else "self_lora"
            a, b = (weights[f"{parts[0]}.{kind}.{side}"][int(parts[2])] for side in "ab")
            changed[name] = changed[name] + b @ a
    expected = functional_call(t5, changed, kwargs=inputs, tie_weights=False).logits
    with applied(t5, weights):
        assert torch.allclose(t5(**inputs).logits, expected, atol=1e-5)


def test_lora_through_hooks_has_the_gradient_of_changed_weights():
    t5, inputs = small_t5().requires_grad_(False), batch()
    torch.manual_seed(3)
    made = {n: (torch.randn(s) / 10).requires_grad_() for n, s in shapes(t5, 8, 3).items() if "lora" in n}

    def through_weights(weights):
        changed = {}
        for name, tensor in t5.named_parameters():
            parts = name.split(".")
            if parts[-2] in ("q", "v"):
                kind = "cross_lora" if "EncDecAttention" in name else "self_lora"
                changed[name] = tensor + torch.matmul(
                    weights[f"{parts[0]}.{kind}.b"][int(parts[2])], weights[f"{parts[0]}.{kind}.a"][int(parts[2])]
                )
        return functional_call(t5, changed, kwargs=inputs).loss

    expected = torch.autograd.grad(through_weights(made), list(made.values()))
    with applied(t5, made):
        found = torch.autograd.grad(t5(**inputs).loss, list(made.values()))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_the_gradient_of_every_tensor_of_the_generators_is_the_slope_of_the_loss():
    model, inputs = loader(1).double(), batch(rows=1)
    model.train()
    model(0, **inputs).loss.backward()
    assert all((parameter.grad is None) != parameter.requires_grad for parameter in model.parameters())
    for name, parameter in model.hypernetwork.named_parameters():
        direction = parameter.grad / parameter.grad.norm()
        step = 1e-4 / max(1.0, parameter.grad.norm().item())
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step * direction
                losses.append(model(0, **inputs).loss.item())
                parameter -= sign * step * direction
        slope = (losses[0] - losses[1]) / (2 * step)
        assert slope == pytest.approx(parameter.grad.norm().item(), rel=0.01, abs=4e-3), name


def test_training_a_second_task_moves_neither_the_t5_nor_the_first_tasks_embedding():
    model = loader(1)
    model.train()

    def train(task, steps=3):
        model.focus(task)
        optimizer = torch.optim.Adam(model.trained_parameters(), lr=1e-2)
        for step in range(steps):
            optimizer.zero_grad()
            model(task, **batch(step)).loss.backward()
            optimizer.step()

    before = {name: tensor.clone() for name, tensor in model.t5.state_dict().items()}
    train(0)
    norms = [name for name in before if "layer_norm" in name]
    for name, tensor in model.t5.state_dict().items():
        assert torch.equal(tensor, before[name]) == (name not in norms), name
    model.freeze_norms()
    before = {name: tensor.clone() for name, tensor in model.t5.state_dict().items()}
    first = model.hypernetwork.embeddings[0].detach().clone()
    second = model.hypernetwork.embeddings[model.add_task()].detach().clone()
    train(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.t5.state_dict().items())
    assert torch.equal(model.hypernetwork.embeddings[0], first)
    assert not torch.equal(model.hypernetwork.embeddings[1], second)


def test_drift_is_the_squared_distance_of_all_that_is_generated_and_reaches_what_is_shared():
    model = loader(2)
    snapshot = model.hypernetwork.snapshot(torch.tensor([0, 1]))
    assert model.hypernetwork.drift(snapshot).item() == 0
    with torch.no_grad():
        model.hypernetwork.decoder.lora_b.bias += 0.1
    numbers = 2 * sum(t[0].numel() for n, t in snapshot.weights.items() if n.startswith("decoder") and n[-1] == "b")
    drift = model.hypernetwork.drift(snapshot)
    assert drift.item() == pytest.approx(0.01 * numbers, rel=1e-3)
    drift.backward()
    assert model.hypernetwork.decoder.lora_b.weight.grad.any()


def test_a_merged_network_gives_the_same_logits_and_needs_no_generator():
    model, inputs = loader(2), batch()
    model.eval()
    own = model.merged(1)
    assert torch.allclose(own(**inputs).logits, model(1, **inputs).logits, atol=1e-5)
    assert not torch.allclose(own(**inputs).logits, model(0, **inputs).logits, atol=1e-3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert own(**inputs).logits.abs().sum() > 0


def test_a_merged_network_writes_what_the_generated_one_writes():
    model, inputs = loader(2), batch()
    model.eval()
    ids = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with model.serving(1) as t5:
        written = t5.generate(**ids, max_new_tokens=6)
    assert torch.equal(model.merged(1).generate(**ids, max_new_tokens=6), written)


def test_in_evaluation_weights_are_generated_once_until_the_generator_changes():
    model = loader(1)
    model.eval()
    kept = model.weights(0)
    assert model.weights(0) is kept
    with torch.no_grad():
        model.hypernetwork.embeddings[0] += 1
    assert not torch.equal(model.weights(0)["encoder.self_lora.a"], kept["encoder.self_lora.a"])


def test_gated_feed_forwards_and_an_inner_width_of_its_own_work():
    t5 = small_t5(feed_forward_proj="gated-gelu", num_heads=3)
    model = HyperLoader(t5, reduction=8, rank=2)
    model.add_task()
    assert model.hypernetwork.shapes["encoder.self_lora.b"] == (3, 24, 2)
    own = model.eval().merged(0)
    assert torch.allclose(own(**batch()).logits, model(0, **batch()).logits, atol=1e-5)


@pytest.mark.parametrize("options", [{"reduction": 33}, {"reduction": 0}, {"rank": -1}])
def test_a_size_that_cannot_be_is_refused_in_a_sentence(options):
    with pytest.raises(UserError, match=r"reduction (33|0): 1 to 32|rank -1: at least 0"):
        HyperLoader(small_t5(), **options)
