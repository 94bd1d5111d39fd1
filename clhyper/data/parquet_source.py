"""Images in Parquet files, in the layout that Hugging Face image data sets have."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clhyper.data.cache import Decoded, cached
from clhyper.data.decode import hash_files, number_classes
from clhyper.data.images import ImageSet
from clhyper.data.pictures import PICTURES_AT_ONCE, decode_picture, join, stack
from clhyper.errors import UserError, require

__all__ = ["parquet"]


@dataclass(frozen=True)
class Columns:
    """The two columns that are read; the image's bytes may be packed in a struct with its path."""

    image: str
    packed: bool
    label: str
    label_names: tuple[str, ...]


def parquet(
    data: Path, image_size: int | None = None, image_column: str | None = None, label_column: str | None = None
) -> ImageSet:
    """The images in the Parquet files of the folder `data`: encoded (PNG, JPEG, ...) images with an integer label.

    data: holds `train.parquet` or shards `train-*.parquet`, and the same for `test` (or else `validation`), itself or
    in a subfolder.
    image_column: holds bytes, or a struct of `bytes` and `path`; by default the only such column.
    label_column: by default `label`, `labels`, `fine_label` or the only column of integers.
    Images are grey (1 channel) where all are; otherwise RGB.
    Raises `UserError`, naming the file, and the row (counted from 0), for what can't be read.
    """
    files = _find_files(data)
    columns = _choose_columns(files["train"][0], image_column, label_column)
    key = {
        "source": "parquet",
        "content": {split: hash_files(paths) for split, paths in files.items()},
        "columns": [columns.image, columns.label],
        "image_size": image_size,
    }
    return cached("parquet", key, lambda: _decode_splits(data, files, columns, image_size))


def _find_files(data: Path) -> dict[str, list[Path]]:
    """The files of the two splits, `train` and `test`."""
    require(data.is_dir(), f"{data}: no such folder: --data takes the folder that holds train and test Parquet files")
    # A data set's repository keeps the files in `data`, or in a folder named after the configuration.
    subfolders = sorted(path for path in data.iterdir() if path.is_dir() and _split_files(path, "train"))
    folders = [path for path in (data, data / "data") if _split_files(path, "train")][:1] or subfolders
    require(len(folders) > 0, f"{data}: no training files: train.parquet or train-00000-of-00001.parquet is right")
    if len(folders) > 1:
        names = ", ".join(path.name for path in folders)
        raise UserError(f"{data}: training files in several folders ({names}): --data takes one of these")
    folder = folders[0]
    tests = [paths for split in ("test", "validation", "valid") if (paths := _split_files(folder, split))]
    require(len(tests) > 0, f"{folder}: no test files: test.parquet or test-00000-of-00001.parquet is right")
    files = {"train": _split_files(folder, "train"), "test": tests[0]}
    for paths in files.values():
        _check_shards(paths)
    return files


def _split_files(folder: Path, split: str) -> list[Path]:
    named = re.compile(rf"{split}(-.*)?\.parquet")
    return sorted(path for path in folder.glob("*.parquet") if named.fullmatch(path.name))


def _check_shards(paths: list[Path]) -> None:
    """Raises `UserError` where numbered shards aren't all there, or something else is there beside them."""
    totals = {int(found[1]) for path in paths if (found := re.search(r"-of-(\d+)", path.name))}
    if totals and totals != {len(paths)}:
        wanted = " or ".join(str(total) for total in sorted(totals))
        names = ", ".join(path.name for path in paths)
        raise UserError(f"{paths[0].parent}: {len(paths)} files of one split ({names}), where {wanted} would be right")


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: can't be read as a Parquet file ({_first_line(error)}): copy it anew") from error


def _choose_columns(path: Path, image_column: str | None, label_column: str | None) -> Columns:
    with _open(path) as file:
        schema = file.schema_arrow
    images = [field.name for field in schema if _is_packed(field.type)]
    images = images or [field.name for field in schema if _is_bytes(field.type)]
    image = _choose(path, schema, "image_column", image_column, images, "bytes, or a struct with bytes")
    labels = [field.name for field in schema if pa.types.is_integer(field.type)]
    usual = [name for name in ("label", "labels", "fine_label") if name in labels]
    label = _choose(path, schema, "label_column", label_column, usual[:1] or labels, "integers")
    return Columns(image, _is_packed(schema.field(image).type), label, _label_names(schema, label))


def _choose(path: Path, schema: pa.Schema, option: str, chosen: str | None, candidates: list[str], wanted: str) -> str:
    flag = "--" + option.replace("_", "-")
    held = ", ".join(f"{field.name} ({field.type})" for field in schema)
    if chosen is None:
        require(len(candidates) > 0, f"{path}: no column of {wanted}: its columns are {held}")
        require(
            len(candidates) == 1, f"{path}: columns {', '.join(candidates)} all hold {wanted}: choose one with {flag}"
        )
        return candidates[0]
    require(chosen in schema.names, f"{option} {chosen!r}: no such column in {path}: its columns are {held}")
    kind = schema.field(chosen).type
    fits = pa.types.is_integer(kind) if option == "label_column" else _is_packed(kind) or _is_bytes(kind)
    require(fits, f"{option} {chosen!r}: holds {kind} in {path}: {wanted} is right")
    return chosen


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_packed(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and any(field.name == "bytes" and _is_bytes(field.type) for field in kind)


def _label_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """The names that Hugging Face's metadata gives the labels; none where it gives none."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return tuple(map(str, features[label]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def _decode_splits(data: Path, files: dict[str, list[Path]], columns: Columns, image_size: int | None) -> Decoded:
    train, y_train = _read_split(files["train"], columns, image_size, None)
    test, y_test = _read_split(files["test"], columns, image_size, train[0].shape[2:] if train else None)
    y_train, y_test, labels = number_classes(data, y_train, y_test)
    x_train, x_test = join(train, test)
    names = columns.label_names
    return Decoded(
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names=tuple(names[label] if 0 <= label < len(names) else str(label) for label in labels),
    )


def _read_split(
    paths: list[Path], columns: Columns, image_size: int | None, pixels: tuple[int, ...] | None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Batches of images, each uint8 (images, channels, height, width), and all labels (images,).

    pixels: the (height, width) that images must have that aren't resized; None: that of the first one.
    """
    batches: list[np.ndarray] = []
    labels: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
    for path in paths:
        row = 0
        for encoded, batch_labels in _read_rows(path, columns):
            if not encoded:
                continue
            places = [f"{path}, row {row + i}" for i in range(len(encoded))]
            images = [_decode(content, place) for content, place in zip(encoded, places, strict=True)]
            pixels = pixels or images[0].shape[1:]
            batches.append(stack(images, places, image_size, pixels))
            labels.append(batch_labels)
            row += len(images)
    return batches, np.concatenate(labels)


def _read_rows(path: Path, columns: Columns) -> Iterator[tuple[list[bytes | None], np.ndarray]]:
    """Encoded images and their labels, some rows at a time."""
    with _open(path) as file:
        kinds = {field.name: field.type for field in file.schema_arrow}
        for name in (columns.image, columns.label):
            require(name in kinds, f"{path}: no column {name}, which the first training file has")
        alike = _is_packed(kinds[columns.image]) if columns.packed else _is_bytes(kinds[columns.image])
        require(
            alike and pa.types.is_integer(kinds[columns.label]),
            f"{path}: columns {columns.image} and {columns.label} have other types than in the first training file",
        )
        batches = file.iter_batches(PICTURES_AT_ONCE, columns=[columns.image, columns.label])
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise UserError(f"{path}: damaged ({_first_line(error)}): copy it anew") from error
            if batch is None:
                return
            images, labels = batch.column(columns.image), batch.column(columns.label)
            require(labels.null_count == 0, f"{path}: column {columns.label} lacks labels: every image needs one")
            if columns.packed:
                images = pc.struct_field(images, "bytes")
            yield images.to_pylist(), labels.to_numpy(zero_copy_only=False).astype(np.int64)


def _decode(content: bytes | None, where: str) -> np.ndarray:
    if content is None:
        raise UserError(f"{where}: no image, only its path at best: files that hold the images are right")
    return decode_picture(BytesIO(content), where)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
