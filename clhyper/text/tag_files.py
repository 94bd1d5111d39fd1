"""Labelled sentences from files: columns (CoNLL) and JSON lines."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clhyper.errors import UserError, require
from clhyper.text.labels import Kind, Sentence, TaggedSet, bio, tagged_set

WORDS, LABELS = ("tokens", "words"), ("tags", "labels", "ner_tags", "pos_tags")
"""names that the fields of JSON lines may have"""


def tag_files(
    train: Path, test: Path, kind: Kind = "spans", word: int = 0, label: int = -1, name: str | None = None
) -> TaggedSet:
    """A task from two files, JSON lines (`.jsonl`, `.json`) or columns (any other ending).

    Columns: a word a line, its label in another column, an empty line between sentences; parted by tabs if a line has
    one, else by blanks. Lines of `-DOCSTART-` are left out, and so are CoNLL-U's comments (`# key = value`).
    JSON lines: an object a sentence with `tokens` (or `words`) and `tags` (or `labels`, `ner_tags`, `pos_tags`), lists
    of strings.

    Args:
        train, test: Files.
        kind: spans: labels are BIO, and an I that continues nothing begins a span; tags: any labels.
        word, label: Columns, from 0, or from the last as -1.
        name: Of the task; without it, that of the training file.

    Raises:
        UserError: a file that can't be read, with the line; no sentence or no span; or a test label that training
            sentences don't have.
    """
    of_train, of_test = (_sentences(path, kind, word, label) for path in (train, test))
    made = tagged_set(name or train.stem, kind, of_train, of_test)
    known = set(made.labels)
    for number, sentence in enumerate(made.test):
        for given in sentence.labels:
            of_word = given.partition("-")[2] if kind == "spans" else given
            require(
                of_word in known or (kind == "spans" and given == "O"),
                f"{test}: sentence {number + 1} has the label {given!r}, which no sentence of {train} has",
            )
    return made


def _sentences(path: Path, kind: Kind, word: int, label: int) -> Iterator[Sentence]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is no UTF-8 text") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({(error.strerror or 'unreadable').lower()})") from None
    as_json = path.suffix in (".jsonl", ".json")
    found = _from_json(path, lines) if as_json else _from_columns(path, lines, word, label)
    for number, words, labels in found:
        try:
            yield Sentence(tuple(words), bio(labels) if kind == "spans" else tuple(labels))
        except UserError as error:
            raise UserError(f"{path}, sentence that ends in line {number}: {error}") from None


def _from_columns(path: Path, lines: list[str], word: int, label: int) -> Iterator[tuple[int, list[str], list[str]]]:
    words: list[str] = []
    labels: list[str] = []
    columns = 0
    for number, line in enumerate([*lines, ""], start=1):
        if not line.strip():
            if words:
                yield number - 1, words, labels
            words, labels = [], []
            continue
        if line.startswith("-DOCSTART-") or (not words and line.startswith("# ") and " = " in line):
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        columns = columns or len(cells)
        require(
            len(cells) == columns and columns > 1,
            f"{path}, line {number}: {_columns(len(cells))}"
            + (f" where there were {columns} before" if columns > 1 else ", and a word and its label need two"),
        )
        for what, column in (("word", word), ("label", label)):
            require(
                -columns <= column < columns,
                f"{what} column {column}: {path} has {columns}, 0 to {columns - 1}",
            )
            require(bool(cells[column].strip()), f"{path}, line {number}: the {what} is empty")
        words.append(cells[word].strip())
        labels.append(cells[label].strip())


def _columns(count: int) -> str:
    return f"{count} column{'s' if count > 1 else ''}"


def _from_json(path: Path, lines: list[str]) -> Iterator[tuple[int, list[str], list[str]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"{where}: is no JSON; one object a line is right") from None
        require(isinstance(record, dict), f'{where}: an object such as {{"tokens": [...], "tags": [...]}} is right')
        words, labels = _field(record, WORDS, where), _field(record, LABELS, where)
        require(len(words) == len(labels), f"{where}: {len(words)} words and {len(labels)} labels")
        if words:
            yield number, words, labels


def _field(record: dict[str, Any], names: tuple[str, ...], where: str) -> list[str]:
    present = [name for name in names if name in record]
    if len(present) != 1:
        raise UserError(f"{where}: exactly one of the fields {', '.join(names)} is right, and it has {len(present)}")
    values = record[present[0]]
    right = isinstance(values, list) and all(isinstance(value, str) and value.strip() for value in values)
    require(right, f"{where}: {present[0]} is no list of strings that aren't empty")
    return values
