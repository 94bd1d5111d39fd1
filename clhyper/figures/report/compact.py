"""Matrices and curves small enough for a page of thousands of runs."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from clhyper.figures.report.records import Matrix

STEPS = 10_000
"""Parts that an accuracy of 1 is divided into: a page shows tenths of a percent."""
UNKNOWN = 65_535
"""Where the matrix has no accuracy."""
MATRIX_BYTES = 3_000_000
"""What the matrices of a page may take (ours): of 20 experiences those of more than 2,500 runs."""
CURVE_BYTES = 1_500_000
"""What losses by epoch may take, and accuracies over the stream, each (ours)."""


def packed(matrix: Matrix) -> dict[str, Any] | None:
    """Rows, columns, and the cells as base64 of little-endian 16-bit counts of 1/10000; None if there are none."""
    columns = max(map(len, matrix), default=0)
    if not columns:
        return None
    cells = np.full((len(matrix), columns), UNKNOWN, dtype="<u2")
    for place, row in enumerate(matrix):
        for column, value in enumerate(row):
            if value is not None and value >= 0:
                cells[place, column] = round(value * STEPS)
    return {"rows": len(matrix), "columns": columns, "cells": base64.b64encode(cells.tobytes()).decode()}


def over_stream(matrix: Matrix, complete: bool) -> list[float | None]:
    """After each experience, the mean accuracy over those learned so far that have one; None where none has.

    A complete run whose matrix has one row learned all experiences at once.
    """
    if complete and len(matrix) == 1:
        unlearned: Matrix = [[None] for _ in matrix[0][1:]]
        matrix = unlearned + matrix
    curve: list[float | None] = []
    for after, row in enumerate(matrix):
        known = [value for value in row[: after + 1] if value is not None]
        curve.append(round(sum(known) / len(known), 6) if known else None)
    return curve


def within(sizes: Sequence[int], ranks: Sequence[int], budget: int) -> list[bool]:
    """Which things of these sizes in bytes are kept: by rank, then in order, as long as the budget lasts."""
    kept = [False] * len(sizes)
    for place in sorted(range(len(sizes)), key=lambda place: ranks[place]):
        if sizes[place] > budget:
            break
        budget -= sizes[place]
        kept[place] = True
    return kept
