"""Columns of the data frames of results: names, units, meanings."""

import dataclasses

from clhyper.measures import ACCURACY, BITS
from clhyper.options import TrainingOptions

INFERRED = tuple(
    f"{measure}_by_{method}"
    for method in ("entropy", "features")
    for measure in ("class_incremental_accuracy", "task_inference_accuracy")
)
"""Accuracies where the task isn't told."""
METRICS = (*ACCURACY.metrics, *INFERRED, *BITS.metrics)
COSTS = (
    "train_macs",
    "front_macs",
    "generation_macs",
    "back_macs",
    "drift_macs",
    "other_macs",
    "train_seconds",
    "evaluation_seconds",
    "loading_seconds",
    "compilation_seconds",
    "train_joules",
    "peak_device_bytes",
    "peak_host_bytes",
    "trainable_parameters",
    "generated_parameters",
    "frozen_parameters",
    "bytes_kept",
    "generation_ms",
    "batch_ms",
    "bytes_per_task",
)
OF_USE = ("generation_ms", "batch_ms", "bytes_per_task")
"""Costs that are measured once, when training has ended; the others of each experience too."""

SETTING = ("benchmark", "backbone", "experiences", "evaluated_on", "stream")
"""What must be equal before two accuracies may be compared."""
CHOICES = ("variant", "norm", "front_norm", "front", "epochs", "device", "engine")
"""What may differ between two runs of one strategy and freeze depth; never averaged over."""
CONFIGURATION = (*SETTING, "family", "strategy", "freeze_depth", *CHOICES)
"""What repetitions of one configuration share."""
REPETITION = ("seed", "order")
"""What repetitions of one configuration differ in."""
TRAINING = (*(field.name for field in dataclasses.fields(TrainingOptions)), "augmentation")
"""Options of training that all strategies have."""

_ACCURACY = "fraction"
_MEASURED = "fraction, or bits"
OF_RUNS = {
    "status": ("", "complete, failed, or interrupted"),
    "reason": ("", "why a run has no result"),
    "folder": ("", "the run's folder"),
    "benchmark": ("", "the stream's name"),
    "strategy": ("", "the strategy's name"),
    "family": ("", "the strategy of which this is the freeze depth 0 under another name, or the strategy itself"),
    "freeze_depth": ("stages", "stages of the front; empty for strategies that have none"),
    "seed": ("", "seed of initialisation, batches and augmentation"),
    **{name: ("", f"option --{name.replace('_', '-')} of training") for name in TRAINING},
    "front": ("", "what the front was trained on; empty where nothing is frozen"),
    "backbone": ("", "the backbone's name"),
    "experiences": ("count", "experiences of the stream"),
    "order_seed": ("", "seed of the class order"),
    "evaluated_on": ("", "test images, or held-out validation images"),
    "device": ("", "kind of device, cpu or cuda"),
    "threads": ("count", "CPU threads of the run"),
    "engine": ("", "what executed its steps; several are joined by commas"),
    "data": ("", "fingerprint of the data set"),
    "machine": ("", "the processor or GPU that trained"),
    "runs_at_once": ("count", "the most runs that shared the machine, itself included"),
    "acc": (_ACCURACY, "ACC: mean accuracy after the whole stream"),
    "forgetting": (_ACCURACY, "best earlier minus last accuracy, mean over all experiences but the last"),
    "bwt": (_ACCURACY, "backward transfer: last accuracy minus that when learned"),
    "fwt": (_ACCURACY, "forward transfer: accuracy before learning minus that at initialisation"),
    "learning_accuracy": (_ACCURACY, "mean accuracy of each experience when it was learned"),
    **{name: (_ACCURACY, name.replace("_by_", " by ").replace("_", " ").replace("features", "front features"))
       for name in INFERRED},
    "bits": ("bits", "bits per character after the whole stream, a mean over its experiences; of streams of text"),
    "bits_forgetting": ("bits", "last bits minus the least before, mean over all experiences but the last"),
    "bits_bwt": ("bits", "backward transfer: bits when learned minus the last, so that more is better"),
    "bits_fwt": ("bits", "forward transfer: bits at initialisation minus those before learning"),
    "learning_bits": ("bits", "mean bits of each experience when it was learned"),
    **dict.fromkeys(COSTS, ("", "")),
    "similarity": ("0 to 1", "of the stream's experiences, mean over pairs"),
    "variant": ("", "options of training in which runs of one strategy and depth differ"),
    "stream": ("", "the stream's options that aren't its defaults"),
    "order": ("", "class order, where it isn't the stream's own"),
}  # fmt: skip
"""Unit and meaning of `load`'s columns, in order; a cost's are in `clhyper.evaluation.cost`."""
OF_EXPERIENCES = {
    "folder": ("", "the run's folder"),
    "training": ("count", "trainings of the run before this one"),
    "experience": ("", "number of the experience that was learned last, from 0"),
    "accuracy": (_MEASURED, "mean over the experiences learned so far, after this one; of text, bits per character"),
    **{name: ("", "") for name in COSTS if name not in OF_USE},
}
"""Unit and meaning of `load_experiences`' columns, in order."""
OF_CELLS = {
    "folder": ("", "the run's folder"),
    "after": ("", "training experience, from 0"),
    "on": ("", "test experience, from 0"),
    "measure": ("", "what R holds: accuracy or bits"),
    "accuracy": (_MEASURED, "R[after, on]; empty where that experience had no parameters yet"),
}
"""Unit and meaning of `load_matrix`'s columns, in order."""
