"""Labelled sentences from the Hugging Face hub, or from Parquet files in its layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clhyper.errors import UserError, require
from clhyper.text.labels import Kind, Sentence, TaggedSet, bio, tagged_set
from clhyper.text.tag_files import LABELS, WORDS
from clhyper.text.tokenizer import transformers_there

_CONVERTED = "refs/convert/parquet"
"""where the hub keeps every data set as Parquet files"""


def hub_tags(name: str, configuration: str = "default", kind: Kind = "spans", labels: str | None = None) -> TaggedSet:
    """A data set of the hub, such as `eriktks/conll2003`, by the Parquet files that the hub keeps of it.

    Args:
        name: Of the data set.
        configuration: Of the data set; also the folder that its files are in.
        kind: spans: labels are BIO; tags: any labels.
        labels: Column of the labels; without it, the one of the usual names.

    Raises:
        UserError: the hub can't be reached or has no such data set, or it has no such columns.
    """
    transformers_there("a data set")
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            name, repo_type="dataset", revision=_CONVERTED, allow_patterns=f"{configuration}/*/*.parquet"
        )
    except Exception as error:  # no connection, no such name, not allowed: many classes, one meaning
        reason = type(error).__name__
        raise UserError(
            f"data set {name}: the hub has none by this name or can't be reached ({reason}); give local files"
        ) from None
    return parquet_tags(Path(folder) / configuration, name, kind, labels)


def parquet_tags(folder: Path, name: str, kind: Kind = "spans", labels: str | None = None) -> TaggedSet:
    """A task from `train/*.parquet` and `test/*.parquet` in a folder; numbers are named as the hub's schema says.

    Raises:
        UserError: files or columns that there aren't, or labels that are numbers without names.
    """
    read: dict[str, list[Sentence]] = {}
    for split in ("train", "test"):
        files = sorted(folder.glob(f"{split}/*.parquet"))
        require(bool(files), f"{folder}: no {split}/*.parquet")
        read[split] = [sentence for file in files for sentence in _sentences(file, kind, labels)]
    return tagged_set(name, kind, read["train"], read["test"], known=True)


def _sentences(path: Path, kind: Kind, labels: str | None) -> list[Sentence]:
    import json

    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, ValueError):
        raise UserError(f"{path}: no readable Parquet file, or damaged") from None
    columns = table.column_names
    words = _column(path, columns, WORDS)
    chosen = _column(path, columns, (labels,) if labels else LABELS)
    features = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    names = _names(features.get(chosen))
    rows = zip(table[words].to_pylist(), table[chosen].to_pylist(), strict=True)
    made = []
    for number, (row, given) in enumerate(rows):
        named = [_name(label, names, path) for label in given]
        require(len(row) == len(named), f"{path}, row {number}: {len(row)} words and {len(named)} labels")
        if row:
            made.append(Sentence(tuple(row), bio(named) if kind == "spans" else tuple(named)))
    return made


def _column(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> str:
    present = [name for name in wanted if name in columns]
    if not present:
        raise UserError(f"{path}: none of the columns {', '.join(wanted)}; it has {', '.join(columns)}")
    require(len(present) == 1, f"{path}: has the columns {', '.join(present)}; name the one that holds the labels")
    return present[0]


def _names(feature: Any) -> list[str] | None:
    """Names of a ClassLabel in a list, whichever way the schema writes lists."""
    while isinstance(feature, list | dict):
        if isinstance(feature, list):
            feature = feature[0] if feature else None
        elif "names" in feature:
            return list(feature["names"])
        else:
            feature = feature.get("feature")
    return None


def _name(label: Any, names: list[str] | None, path: Path) -> str:
    if isinstance(label, str):
        return label
    if names is None or not 0 <= label < len(names):
        raise UserError(f"{path}: label {label} is a number that the file's schema has no name for")
    return names[label]
