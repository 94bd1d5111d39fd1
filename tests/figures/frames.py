"""Frames as the loader gives them, by hand."""

from typing import Any

import pandas as pd

from clhyper.runs.results import INFERRED

COST = {
    "train_macs": 2e12,
    "front_macs": 2e11,
    "generation_macs": 3e11,
    "back_macs": 1e12,
    "drift_macs": 5e11,
    "other_macs": 0.0,
    "train_seconds": 90.0,
    "evaluation_seconds": 5.0,
    "loading_seconds": 1.0,
    "compilation_seconds": 3.0,
    "train_joules": 5e3,
    "peak_device_bytes": 2e9,
    "peak_host_bytes": 1e9,
    "trainable_parameters": 1.1e6,
    "generated_parameters": 1e6,
    "frozen_parameters": 1e5,
    "bytes_kept": 8.2e6,
    "generation_ms": 1.5,
    "batch_ms": 2.0,
    "bytes_per_task": 400.0,
}
SHARED = {
    "status": "complete",
    "reason": None,
    "benchmark": "split-digits",
    "variant": "",
    "norm": "batch",
    "front_norm": "batch",
    "front": "pretrained",
    "backbone": "mlp",
    "experiences": 3,
    "epochs": 5,
    "evaluated_on": "test",
    "stream": "",
    "order": "",
    "device": "cpu",
    "engine": "eager",
    "acc": 0.8,
    "forgetting": 0.1,
    "bwt": -0.1,
    "fwt": float("nan"),
    "learning_accuracy": 0.85,
    **dict.fromkeys(INFERRED, float("nan")),
}


def run(strategy: str, depth: int | None, seed: int, **changes: Any) -> dict[str, Any]:
    """One row; `changes` replace columns."""
    family = {"full-hypernetwork": "partial-hypernetwork", "replay": "latent-replay"}.get(strategy, strategy)
    changes.setdefault("folder", f"{changes.get('benchmark', '')}/{strategy}-{depth}-{changes.get('variant')}-{seed}")
    return SHARED | COST | {"strategy": strategy, "family": family, "freeze_depth": depth, "seed": seed} | changes


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    runs = pd.DataFrame(list(rows))
    runs["freeze_depth"] = runs["freeze_depth"].astype("Int64")
    return runs


def matrix_of(runs: pd.DataFrame) -> pd.DataFrame:
    """R[i, j] = 0.9 - 0.1 (i - j), nothing above the diagonal; what has no forgetting has its last row alone."""
    cells = []
    for _, row in runs[runs["status"] == "complete"].iterrows():
        length = row["experiences"]
        for after in range(length) if pd.notna(row["forgetting"]) else [length - 1]:
            cells += [
                {
                    "folder": row["folder"],
                    "after": after,
                    "on": on,
                    "accuracy": 0.9 - 0.1 * (after - on) if on <= after else float("nan"),
                }
                for on in range(length)
            ]
    return pd.DataFrame(cells)


def study() -> pd.DataFrame:
    """Two families with depths, a third party's method, a bound and a failure."""
    rows = [
        run(name, depth, seed, acc=acc + 0.01 * seed, forgetting=loss + 0.004 * seed, train_macs=macs)
        for name, depth, acc, loss, macs in (
            ("full-hypernetwork", 0, 0.78, 0.006, 9e12),
            ("partial-hypernetwork", 1, 0.80, 0.005, 5e12),
            ("naive", 0, 0.50, 0.45, 4e12),
            ("naive", 1, 0.60, 0.30, 2e12),
            ("somebodys-method", None, 0.70, 0.2, 3e12),
        )
        for seed in range(2)
    ]
    rows.append(run("joint", None, 0, acc=0.93, forgetting=float("nan")))
    rows.append(run("naive", 2, 0, status="failed", reason="out of memory", acc=float("nan")))
    return frame(*rows)
