"""The Avalanche strategy that all of ours extend: a split model, its data on the device, a fresh optimizer."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor

from clhyper.backbones import Backbone, set_norm, split
from clhyper.backbones.model import SplitModel, classes_by_task
from clhyper.data.augmentation import Preparation
from clhyper.engine.ahead import EvaluatesAhead
from clhyper.engine.engines import Engine
from clhyper.engine.front import FrontFile, load_front
from clhyper.engine.labels import check_labels
from clhyper.engine.losses import LossWatch, check_finite
from clhyper.engine.optimizers import LearningRates, new_optimizer
from clhyper.engine.seeds import generator, seeded
from clhyper.engine.steps import STEPS_AHEAD, DrawnSteps, Steps
from clhyper.engine.supply import EVALUATION_BATCH, Supply
from clhyper.engine.telling import Telling, silent_evaluator
from clhyper.options import Loading, TrainingOptions, build
from clhyper.threads import turns


class Strategy(Telling, EvaluatesAhead, SupervisedTemplate):
    """Learns a stream on a backbone split into front and back; an Avalanche strategy.

    The front is trained in the first experience and then frozen, or loaded and frozen from the start. Once it is
    frozen and images aren't augmented, its features are computed once an experience. Experiences of a `clhyper`
    stream are fed from tensors on the device, those of any other Avalanche benchmark by Avalanche's own loaders.

    Class attributes: `Options`, the dataclass of hyperparameters; `needs_task_labels`; `depth_zero_of`, the name of the
    strategy of which this one is the depth 0; `offline`, whether it takes the whole stream at once. `loss_by_epoch`:
    means of what `criterion` gave in the steps of each epoch of the present experience.

    Args:
        backbone: Ordered stages and a classifier; the strategy takes it over.
        options: Hyperparameters; or give them one by one as keyword arguments.
        seed: Fixes everything random in training. The backbone's own initialisation is the caller's.
        device: Where to train.
        engine: How steps are executed: eager (Avalanche's loop), captured (CUDA graphs), compiled (and captured, on a
            GPU), or auto. Where plugins need Python between steps it is eager, and `notices` says so.
        loading: Where images are: read whole to the device, or through a loader as they are used; auto: whole if they
            fit, see `clhyper.data.memory`. The numbers are the same.
        plugins: Avalanche plugins.
        evaluator: Avalanche's evaluator, with its metrics and loggers; silent by default.

    Raises:
        UserError: an unknown option, or a freeze depth that the backbone doesn't have.
    """

    Options: ClassVar[type[Any]]
    needs_task_labels: ClassVar[bool] = False
    depth_zero_of: ClassVar[str | None] = None
    offline: ClassVar[bool] = False
    dataloader: Any

    def __init__(
        self,
        backbone: Backbone,
        options: TrainingOptions | None = None,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        engine: str = "auto",
        loading: Loading = "auto",
        plugins: Sequence[Any] | None = None,
        evaluator: EvaluationPlugin | None = None,
        **hyperparameters: Any,
    ) -> None:
        self.options: Any = options or build(self.Options, type(self).__name__, hyperparameters)
        self.seed = seed
        self._begin_telling()
        self.drawn: dict[str, Tensor] = {}
        self.engine = Engine(self, engine, torch.device(device))
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
            optimizer=new_optimizer(backbone.parameters(), self.options, self.engine.wanted),  # until the first `train`
            train_mb_size=self.options.batch_size,
            train_epochs=self.options.epochs,
            eval_mb_size=EVALUATION_BATCH.get(torch.device(device).type, 500),
            device=device,
            plugins=plugins,
            evaluator=evaluator if evaluator is not None else silent_evaluator(),
        )
        self.supply = Supply(self, loading, STEPS_AHEAD if self.device.type == "cuda" else 1)

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

    def draw(self, steps: int) -> dict[str, Tensor]:
        """What is random in the next `steps` training steps, but for batches and their augmentation, drawn ahead.

        Each tensor, on the CPU, has one row a step; in a step, `drawn` has the step's rows, on the device.
        """
        del steps
        return {}

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
        with seeded(self.seed, 0):  # what is rebuilt is drawn first, beside runs in other threads that draw too
            self.model.to(self.device).restore(state["model"])
        self.model.to(self.device)
        self.clock.train_exp_counter = state["experiences"]

    def kept_tensors(self) -> Iterable[Tensor]:
        """All that must stay to serve every task so far and to go on learning."""
        return self.model.state_dict().values()

    # Avalanche's template

    def train(self, experiences: Any, eval_streams: Any = None, **kwargs: Any) -> Any:
        try:
            with turns.working():
                return super().train(experiences, eval_streams, **kwargs)
        except BaseException:
            self.engine.abandon()
            for plugin in self.plugins_with("abandon"):
                plugin.abandon()
            raise

    def eval(self, experiences: Any, **kwargs: Any) -> Any:
        """Evaluates on the experiences whose classes have outputs; the others are left out."""
        wanted = experiences if isinstance(experiences, Iterable) else [experiences]
        if not self.is_training:  # else it is there, and visiting every tensor takes a while
            self.model.to(self.device)
        known = [experience for experience in wanted if self.model.knows(experience)]
        with turns.working():
            return super().eval(known, **kwargs)

    def model_adaptation(self, model: Any = None) -> Any:
        if model is None and not self.is_training:  # nothing is added, and visiting every tensor takes a while
            return self.model
        return super().model_adaptation(model)

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        check_labels(self)
        with seeded(self.seed, self.experiences_learned):
            self.model = self.model_adaptation()
        if self.device.type == "cuda":  # convolutions there want their weights so
            self.model.to(memory_format=torch.channels_last)
        self.make_optimizer()
        self._rates = LearningRates(self.optimizer)
        self._losses = LossWatch(self.device)
        self.loss_by_epoch = self._losses.by_epoch
        self.prepare_experience()

    def make_optimizer(self, **kwargs: Any) -> None:
        """A new optimizer over what is trained now: no momentum or gradient of what is frozen or idle remains."""
        self.model.focus(self.trained_tasks())
        self.model.zero_grad()
        self.optimizer = new_optimizer(self.model.trained_parameters(), self.options, self.engine.wanted)

    def make_train_dataloader(self, **kwargs: Any) -> None:
        images = getattr(self.experience, "images", None)
        if images is None:
            whole = len(self.adapted_dataset) >= self.train_mb_size
            super().make_train_dataloader(shuffle=True, drop_last=whole, **kwargs)
            self.dataloader = DrawnSteps(self, self.dataloader)
            return
        self.dataloader = []  # frees the last experience's images before these are read
        self.dataloader = Steps(self, self.supply.training(images), images.preparation)

    def read(self, images: Any, rows: Tensor | None = None) -> Tensor:
        """An experience's images, or those of some rows, on the device; the time it takes counts as loading."""
        return self.supply.read(images, rows)

    @torch.no_grad()
    def front_features(self, x: Tensor, preparation: Preparation) -> Tensor:
        """What the frozen front makes of uint8 images, not augmented: float32 (images, ...)."""
        return torch.cat([self.model.features(preparation.normalise(rows)) for rows in x.split(self.eval_mb_size)])

    @property
    def batch_tasks(self) -> Tensor | int:
        """The batch's tasks: one number where the experience has one task, which saves grouping."""
        tasks = list(classes_by_task(self.experience))
        return tasks[0] if len(tasks) == 1 else self.mb_task_id

    @property
    def trains_on_features(self) -> bool:
        """Whether batches hold the frozen front's features, computed ahead, in place of images."""
        return getattr(self.dataloader, "are_features", False)

    def batch_features(self) -> Tensor:
        """The front's features of the batch, computed now or ahead."""
        return self.mb_x if self.trains_on_features else self.model.features(self.mb_x)

    def forward(self) -> Tensor:
        """Logits (batch, classes) of the present batch."""
        return self.model.back(self.batch_features(), self.batch_tasks)

    def training_epoch(self, **kwargs: Any) -> None:
        if self.clock.train_exp_epochs == 0:
            self.engine.choose(self.dataloader)
        if self.engine.name == "eager" and not self.engine.tried:
            super().training_epoch(**kwargs)
        else:
            self.engine.run_epoch(self.dataloader)

    def step(self) -> None:
        """One training step on `mbatch` and `drawn`: Avalanche's iteration without its hooks."""
        self.optimizer.zero_grad()
        self.mb_output = self.forward()
        self.loss = self.criterion()
        self.backward()
        self.optimizer_step()

    @property
    def last_loss(self) -> Tensor:
        """The loss of the last step that was taken: a scalar."""
        return self._losses.last

    def optimizer_step(self) -> None:
        """Updates what is trained, and takes note of the loss."""
        self._losses.add(self.loss)
        super().optimizer_step()

    def _after_update(self, **kwargs: Any) -> None:
        super()._after_update(**kwargs)
        if self.device.type == "cpu":  # elsewhere each look would wait for the device
            self._check_losses()

    def _before_eval_exp(self, **kwargs: Any) -> None:
        turns.rest()
        super()._before_eval_exp(**kwargs)

    def _before_training_epoch(self, **kwargs: Any) -> None:
        super()._before_training_epoch(**kwargs)
        self._losses.reset()
        self._rates.take_in(self.optimizer)

    def _after_training_epoch(self, **kwargs: Any) -> None:
        self._check_losses()
        self._losses.end_epoch()
        super()._after_training_epoch(**kwargs)

    def _check_losses(self) -> None:
        self._losses.check(self.experiences_learned, self.clock.train_exp_epochs, self.options.learning_rate)

    def _after_training_exp(self, **kwargs: Any) -> None:
        self.engine.end()
        check_finite(self.model.state_dict(), self.experiences_learned, self.options.learning_rate)
        if self.freeze_depth:
            self.model.freeze_front()
        self.finish_experience()
        self.supply.release()
        super()._after_training_exp(**kwargs)


# Avalanche wraps every strategy's constructor to refuse keyword arguments that no signature names. Ours are the fields
# of `Options`, and `build` refuses unknown ones with the nearest right name.
Strategy.__init_subclass__ = classmethod(lambda cls, **kwargs: None)  # type: ignore[assignment, method-assign]
Strategy.__init__ = Strategy.__init__.__wrapped__  # type: ignore[attr-defined, method-assign]
