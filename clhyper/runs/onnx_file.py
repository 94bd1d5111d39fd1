"""A network as ONNX, and what onnxruntime makes of it; needs the optional packages of `clhyper[onnx]`."""

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from clhyper.errors import UserError

INPUT, OUTPUT = "images", "logits"
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def check_packages() -> None:
    """Raises `UserError`, with how to install them, if a package that ONNX needs is missing."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"ONNX needs {', '.join(missing)}, which is not installed: pip install 'clhyper[onnx]', or export"
            " --format safetensors"
        )


def to_onnx(network: nn.Module, image_shape: tuple[int, int, int]) -> bytes:
    """An ONNX model of `network`: `images`, float32 (batch, *image_shape) of any batch size, to `logits`."""
    example = torch.zeros(2, *image_shape)
    with _silence():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del part.metadata_props[:]  # the exporter's stack traces, with paths of this machine
    for node in model.graph.node:
        node.doc_string = ""
    return model.SerializeToString()


class OnnxNetwork:
    """An ONNX model run by onnxruntime on one CPU thread: images (batch, ...) to logits (batch, classes)."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def __call__(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run([OUTPUT], {INPUT: x.numpy()})[0])


@contextmanager
def _silence() -> Iterator[None]:
    """Inside, the exporter's progress, warnings and logs stay off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
