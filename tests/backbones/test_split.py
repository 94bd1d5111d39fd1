from collections import OrderedDict

import pytest
import torch
from torch import nn

from clhyper.backbones import build_backbone, split
from clhyper.errors import UserError
from clhyper.registry import entries

SHAPES = {
    "slim-resnet18": (3, 32, 32),
    "small-convnet": (1, 8, 8),
    "mlp": (1, 8, 8),
    "mnist-convnet": (1, 8, 8),
    "wrn-40-1": (3, 8, 8),
    "wrn-40-2": (3, 8, 8),
    "rows": (1, 8, 8),
}
DEPTHS = {"slim-resnet18": 4, "small-convnet": 3, "mlp": 2, "mnist-convnet": 2, "wrn-40-1": 4, "wrn-40-2": 4, "rows": 1}
SMALLEST = {
    "slim-resnet18": 16,
    "small-convnet": 4,
    "mlp": 1,
    "mnist-convnet": 4,
    "wrn-40-1": 5,
    "wrn-40-2": 5,
    "rows": 1,
}
EVERY_DEPTH = [(name, depth) for name, deepest in DEPTHS.items() for depth in range(deepest + 1)]


def a_backbone(name):
    torch.manual_seed(0)
    return build_backbone(name, SHAPES[name], classes=10)


def plain_stages():
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
            middle=nn.Sequential(nn.ReLU(), nn.Dropout(0.0), nn.Conv2d(4, 6, 3)),
            last=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            classifier=nn.Linear(6, 3),
        )
    )


def test_every_registered_backbone_is_covered_here():
    assert set(entries("backbone")) == set(DEPTHS)
    assert {name: a_backbone(name).depth for name in DEPTHS} == DEPTHS


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "depth"), EVERY_DEPTH)
def test_back_after_front_is_the_backbone_bit_for_bit(name, depth, training):
    backbone = a_backbone(name).train(training)
    front, back = split(backbone, depth)
    x = torch.randn(5, *SHAPES[name])
    whole = backbone(x)
    assert whole.shape == (5, 10)
    assert torch.equal(back(front(x)), whole)


@pytest.mark.parametrize("depth", range(4))
def test_a_plain_sequential_of_named_stages_splits_too(depth):
    backbone = plain_stages()
    front, back = split(backbone, depth)
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(back(front(x)), backbone(x))
    assert len(front) == depth
    assert [name for name, _ in (*front.named_children(), *back.named_children())] == [
        "stem",
        "middle",
        "last",
        "classifier",
    ]


@pytest.mark.parametrize(("name", "depth"), EVERY_DEPTH)
def test_front_and_back_share_the_backbones_parameters_and_part_them_between_them(name, depth):
    backbone = a_backbone(name)
    front, back = split(backbone, depth)
    shared = {id(parameter) for parameter in (*front.parameters(), *back.parameters())}
    assert shared == {id(parameter) for parameter in backbone.parameters()}
    assert not {id(p) for p in front.parameters()} & {id(p) for p in back.parameters()}
    shared_buffers = {id(buffer) for buffer in (*front.buffers(), *back.buffers())}
    assert shared_buffers == {id(buffer) for buffer in backbone.buffers()}
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.01)
    x = torch.randn(2, *SHAPES[name])
    assert torch.equal(back.eval()(front.eval()(x)), backbone.eval()(x))


@pytest.mark.parametrize(
    ("backbone", "depth", "sentence"),
    [
        (lambda: a_backbone("slim-resnet18"), 7, "freeze_depth 7: SlimResNet18 has depths 0 to 4"),
        (lambda: a_backbone("slim-resnet18"), 5, "freeze_depth 5: SlimResNet18 has depths 0 to 4"),
        (lambda: a_backbone("mlp"), -1, "freeze_depth -1: MLP has depths 0 to 2"),
        (plain_stages, 4, "freeze_depth 4: Sequential has depths 0 to 3"),
    ],
)
def test_a_depth_that_the_backbone_has_not_is_named_with_those_it_has(backbone, depth, sentence):
    with pytest.raises(UserError) as caught:
        split(backbone(), depth)
    assert str(caught.value) == sentence


def test_images_too_small_for_a_backbone_are_refused_with_the_size_it_needs():
    with pytest.raises(UserError, match="images of 8 pixels are too small, it needs 16 or more"):
        build_backbone("slim-resnet18", (1, 8, 8), 10)
    build_backbone("slim-resnet18", (1, 16, 16), 10)


@pytest.mark.parametrize("name", DEPTHS)
def test_the_smallest_image_a_backbone_admits_passes_through_it_with_every_norm(name):
    from clhyper.backbones import set_norm

    smallest = SMALLEST[name]
    with pytest.raises(UserError, match="too small"):
        build_backbone(name, (1, smallest - 1, smallest), 10)
    for kind in ("batch", "group", "instance"):
        backbone = build_backbone(name, (1, smallest, smallest), 10)
        set_norm(backbone, kind)
        assert backbone(torch.randn(2, 1, smallest, smallest)).isfinite().all()


def test_an_unknown_backbone_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="unknown backbone 'slim-resnet': did you mean 'slim-resnet18'"):
        build_backbone("slim-resnet", (3, 32, 32), 10)
