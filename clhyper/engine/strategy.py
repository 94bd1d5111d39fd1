"""The Avalanche strategy that all of ours extend: a split model, its data on the device, a fresh optimizer."""

import time
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from clhyper.backbones import Backbone, set_norm, split
from clhyper.backbones.model import SplitModel, classes_by_task
from clhyper.data.augmentation import Preparation
from clhyper.data.batches import Batches
from clhyper.engine.front import FrontFile, load_front
from clhyper.engine.losses import LossWatch, check_finite
from clhyper.engine.seeds import generator, seeded
from clhyper.errors import UserError
from clhyper.options import TrainingOptions, build

_OPTIMIZERS: dict[str, Any] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
EVALUATION_BATCH = 500


class Strategy(SupervisedTemplate):
    """Learns a stream on a backbone split into front and back; an Avalanche strategy.

    The front is trained in the first experience and then frozen, or loaded and frozen from the start. Once it is
    frozen and images aren't augmented, its features are computed once an experience. Experiences of a `clhyper`
    stream are fed from tensors on the device, those of any other Avalanche benchmark by Avalanche's own loaders.

    Class attributes: `Options`, the dataclass of hyperparameters; `needs_task_labels`; `depth_zero_of`, the name of the
    strategy of which this one is the depth 0; `offline`, whether it takes the whole stream at once.

    Args:
        backbone: Ordered stages and a classifier; the strategy takes it over.
        options: Hyperparameters; or give them one by one as keyword arguments.
        seed: Fixes everything random in training. The backbone's own initialisation is the caller's.
        device: Where to train.
        plugins: Avalanche plugins.
        evaluator: Avalanche's evaluator, with its metrics and loggers; silent by default.

    Raises:
        UserError: an unknown option, or a freeze depth that the backbone doesn't have.
    """

    Options: ClassVar[type[Any]]
    needs_task_labels: ClassVar[bool] = False
    depth_zero_of: ClassVar[str | None] = None
    offline: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        options: TrainingOptions | None = None,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        plugins: Sequence[Any] | None = None,
        evaluator: EvaluationPlugin | None = None,
        **hyperparameters: Any,
    ) -> None:
        self.options: Any = options or build(self.Options, type(self).__name__, hyperparameters)
        self.seed = seed
        self.loading_seconds = 0.0
        self.front_source = "first experience" if self.freeze_depth else "none"
        self.front_file: FrontFile | None = None
        front, back = split(backbone, self.freeze_depth)
        set_norm(backbone, self.options.front_norm, [name for name, _ in front.named_children()])
        set_norm(backbone, self.options.norm, [name for name, _ in back.named_children()])
        with seeded(seed, 0):
            model = self.make_model(backbone)
        front_file = getattr(self.options, "front", None)
        if front_file is not None:
            self.front_file = load_front(model.front, front_file)
            model.freeze_front()
            self.front_source = self.front_file.source()
        super().__init__(
            model=model,
            optimizer=self._new_optimizer(backbone.parameters()),  # stands in until the first experience makes one
            train_mb_size=self.options.batch_size,
            train_epochs=self.options.epochs,
            eval_mb_size=EVALUATION_BATCH,
            device=device,
            plugins=plugins,
            evaluator=evaluator if evaluator is not None else _silent_evaluator(),
        )

    def make_model(self, backbone: Backbone) -> SplitModel:
        """The strategy's model on the backbone; its norms are already those of the options."""
        raise NotImplementedError

    @property
    def freeze_depth(self) -> int:
        return getattr(self.options, "freeze_depth", 0)

    @property
    def experiences_learned(self) -> int:
        """Number of experiences trained on so far."""
        return self.clock.train_exp_counter

    def generator(self, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
        """A source of random numbers for one purpose in the present experience."""
        return generator(self.seed, self.experiences_learned, purpose, device)

    # What subclasses may add to an experience

    def prepare_experience(self) -> None:
        """Called before an experience's first epoch, when the model has room for it and the optimizer is made."""

    def trained_tasks(self) -> Iterable[int]:
        """Tasks whose own parameters the present experience trains."""
        return classes_by_task(self.experience)

    def finish_experience(self) -> None:
        """Called after an experience's last epoch, the front being frozen."""

    def state(self) -> dict[str, Any]:
        """What must be kept to go on after this experience; tensors, numbers, strings, lists and dicts only."""
        return {"model": self.model.state(), "experiences": self.experiences_learned}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what `state` saved, in a strategy made from the same backbone and options."""
        self.model.to(self.device).restore(state["model"])
        self.model.to(self.device)
        self.clock.train_exp_counter = state["experiences"]

    def kept_tensors(self) -> Iterable[Tensor]:
        """All that must stay to serve every task so far and to go on learning."""
        return self.model.state_dict().values()

    # Avalanche's template

    def train(self, experiences: Any, eval_streams: Any = None, **kwargs: Any) -> Any:
        try:
            return super().train(experiences, eval_streams, **kwargs)
        except BaseException:
            for plugin in self.plugins:
                getattr(plugin, "abandon", lambda: None)()
            raise

    def eval(self, experiences: Any, **kwargs: Any) -> Any:
        """Evaluates on the experiences whose classes have outputs; the others are left out."""
        wanted = experiences if isinstance(experiences, Iterable) else [experiences]
        known = [experience for experience in wanted if self.model.knows(experience)]
        return super().eval(known, **kwargs)

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        self._check_labels()
        with seeded(self.seed, self.experiences_learned):
            self.model = self.model_adaptation()
        self.make_optimizer()
        self.prepare_experience()

    def _check_labels(self) -> None:
        for task, classes in classes_by_task(self.experience).items():
            known = self.model.classes_of.get(task)
            if self.needs_task_labels and known is not None and not set(classes) <= set(known):
                raise UserError(
                    f"{type(self).__name__} needs task labels: experience {self.experience.current_experience} brings"
                    f" new classes under task {task}, which it has learned already; use a task-incremental stream"
                )

    def make_optimizer(self, **kwargs: Any) -> None:
        """A new optimizer over what is trained now: no momentum or gradient of what is frozen or idle remains."""
        self.model.focus(self.trained_tasks())
        self.model.zero_grad()
        self.optimizer = self._new_optimizer(p for p in self.model.parameters() if p.requires_grad)

    def _new_optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        return _OPTIMIZERS[self.options.optimizer](list(parameters), lr=self.options.learning_rate, fused=True)

    def make_train_dataloader(self, **kwargs: Any) -> None:
        images = getattr(self.experience, "images", None)
        if images is None:
            whole = len(self.adapted_dataset) >= self.train_mb_size
            super().make_train_dataloader(shuffle=True, drop_last=whole, **kwargs)
            return
        x, y, tasks = self.read(images), images.labels.to(self.device), images.tasks.to(self.device)
        order = self.generator("batches")
        if self.model.front_frozen and self.freeze_depth and images.preparation.augmentation == "none":
            features = self.front_features(x, images.preparation)
            self.dataloader = Batches(features, y, tasks, self.train_mb_size, order=order, are_features=True)
        else:
            augmentation = self.generator("augmentation", self.device)
            self.dataloader = Batches(
                x, y, tasks, self.train_mb_size, lambda rows: images.preparation(rows, augmentation), order
            )

    def make_eval_dataloader(self, **kwargs: Any) -> None:
        images = getattr(self.experience, "images", None)
        if images is None:
            super().make_eval_dataloader(**kwargs)
            return
        x, y, tasks = (tensor.to(self.device) for tensor in (images.x(), images.labels, images.tasks))
        self.dataloader = Batches(x, y, tasks, self.eval_mb_size, images.preparation.normalise)

    def read(self, images: Any, rows: Tensor | None = None) -> Tensor:
        """An experience's images, or those of some rows, on the device; the time it takes counts as loading."""
        start = time.perf_counter()
        x = images.x(rows).to(self.device)
        self.loading_seconds += time.perf_counter() - start
        return x

    @torch.no_grad()
    def front_features(self, x: Tensor, preparation: Preparation) -> Tensor:
        """What the frozen front makes of uint8 images, not augmented: float32 (images, ...)."""
        return torch.cat([self.model.front(preparation.normalise(rows)) for rows in x.split(EVALUATION_BATCH)])

    @property
    def batch_tasks(self) -> Tensor | int:
        """The batch's tasks: one number where the experience has one task, which saves grouping."""
        tasks = list(classes_by_task(self.experience))
        return tasks[0] if len(tasks) == 1 else self.mb_task_id

    @property
    def trains_on_features(self) -> bool:
        """Whether batches hold the frozen front's features, computed once an experience, in place of images."""
        return getattr(self.dataloader, "are_features", False)

    def batch_features(self) -> Tensor:
        """The front's features of the training batch, computed now or once an experience."""
        return self.mb_x if self.trains_on_features else self.model.features(self.mb_x)

    def forward(self) -> Tensor:
        """Logits (batch, classes) of the present batch."""
        return self.model.back(self.batch_features(), self.batch_tasks)

    def _before_training_epoch(self, **kwargs: Any) -> None:
        self._losses = LossWatch(self.device)
        super()._before_training_epoch(**kwargs)

    def _before_backward(self, **kwargs: Any) -> None:
        super()._before_backward(**kwargs)  # plugins add to the loss
        self._losses.add(self.loss)
        if self.device.type == "cpu":  # elsewhere each look would wait for the device
            self._check_losses()

    def _after_training_epoch(self, **kwargs: Any) -> None:
        self._check_losses()
        super()._after_training_epoch(**kwargs)

    def _check_losses(self) -> None:
        self._losses.check(self.experiences_learned, self.clock.train_exp_epochs, self.options.learning_rate)

    def _after_training_exp(self, **kwargs: Any) -> None:
        check_finite(self.model.state_dict(), self.experiences_learned, self.options.learning_rate)
        if self.freeze_depth:
            self.model.freeze_front()
        self.finish_experience()
        super()._after_training_exp(**kwargs)


def _silent_evaluator() -> EvaluationPlugin:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it has no loggers, which is what is wanted
        return EvaluationPlugin()


# Avalanche wraps every strategy's constructor to refuse keyword arguments that no signature names. Ours are the fields
# of `Options`, and `build` refuses unknown ones with the nearest right name.
Strategy.__init_subclass__ = classmethod(lambda cls, **kwargs: None)  # type: ignore[assignment, method-assign]
Strategy.__init__ = Strategy.__init__.__wrapped__  # type: ignore[attr-defined, method-assign]
