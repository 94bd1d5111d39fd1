"""Numbers of the field, from an accuracy matrix. All are fractions of 1; what can't be computed is None, with a reason.

R[i][j] is the accuracy on test experience j after training experience i (both from 0), None where task j had no
parameters yet or nothing was evaluated. Of a measure that is better the lower it is, the same functions see its
negative.
"""

from collections.abc import Sequence

from clhyper.measures import ACCURACY, Measure

Matrix = Sequence[Sequence[float | None]]
Measured = tuple[float | None, str | None]


def final_accuracy(matrix: Matrix) -> Measured:
    """ACC: mean over j of R[T, j], with T the last experience."""
    last = matrix[-1] if matrix else []
    if not last or any(value is None for value in last):
        return None, "not every experience was evaluated at the end"
    return _mean(last), None


def forgetting(matrix: Matrix) -> Measured:
    """Mean over j < T of max over i < T of R[i, j], minus R[T, j] (Chaudhry et al. 2018); never about the last task."""
    drops = []
    for j in range(len(matrix) - 1):
        before = [row[j] for row in matrix[:-1] if row[j] is not None]
        if not before or matrix[-1][j] is None:
            return None, f"experience {j} was not evaluated before the end of the stream"
        drops.append(max(before) - matrix[-1][j])  # type: ignore[type-var, operator]
    return (_mean(drops), None) if drops else (None, "a stream of one experience has nothing to forget")


def backward_transfer(matrix: Matrix) -> Measured:
    """BWT: mean over j < T of R[T, j] - R[j, j] (Lopez-Paz and Ranzato 2017)."""
    changes = []
    for j in range(len(matrix) - 1):
        learned, last = matrix[j][j], matrix[-1][j]
        if learned is None or last is None:
            return None, f"experience {j} was not evaluated when it had been learned"
        changes.append(last - learned)
    return (_mean(changes), None) if changes else (None, "a stream of one experience has no earlier ones")


def forward_transfer(matrix: Matrix, initial: Sequence[float | None] | None) -> Measured:
    """FWT: mean over j > 0 of R[j - 1, j] - b_j, b_j the accuracy at initialisation (Lopez-Paz and Ranzato 2017)."""
    gains = []
    for j in range(1, len(matrix)):
        ahead = matrix[j - 1][j]
        start = initial[j] if initial else None
        if ahead is None:
            return None, f"experience {j} has no outputs of its own before it is learned"
        if start is None:
            return None, f"experience {j} was not evaluated at initialisation"
        gains.append(ahead - start)
    return (_mean(gains), None) if gains else (None, "a stream of one experience has no later ones")


def learning_accuracy(matrix: Matrix) -> Measured:
    """Mean over j of R[j, j]: how well each experience was learned when it came."""
    diagonal = [row[j] for j, row in enumerate(matrix)]
    if not diagonal or any(value is None for value in diagonal):
        return None, "not every experience was evaluated when it had been learned"
    return _mean(diagonal), None


def all_metrics(
    matrix: Matrix, initial: Sequence[float | None] | None = None, measure: Measure = ACCURACY
) -> dict[str, Measured]:
    """Every metric by the name that the measure gives it, such as acc and forgetting; a value, or None and a reason."""
    if measure.less_is_better:
        matrix, initial = [_negative(row) for row in matrix], _negative(initial) if initial else None
    found = (
        final_accuracy(matrix),
        forgetting(matrix),
        backward_transfer(matrix),
        forward_transfer(matrix, initial),
        learning_accuracy(matrix),
    )
    named = dict(zip(measure.metrics, found, strict=True))
    if measure.less_is_better:
        for name in (measure.metrics[0], measure.metrics[-1]):
            value, reason = named[name]
            named[name] = None if value is None else -value, reason
    return named


def _negative(row: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else -value for value in row]


def _mean(values: Sequence[float | None]) -> float:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers)
