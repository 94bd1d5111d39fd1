"""Every strategy under every engine: the same numbers, and Avalanche's shape kept."""

import gc
import warnings
import weakref

import pytest
import torch
from avalanche.core import SupervisedPlugin
from small_runs import LEARNERS, digits, make

from clhyper.data.stream import ImageStream
from clhyper.engine import compiled, engines
from clhyper.engine.program import DryStep, GraphProgram
from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix, CostMeter
from clhyper.parts import PARTS

gpu = pytest.mark.gpu


def some_slow(*quick, of=LEARNERS):
    """Learners, of which those that aren't named are slow tests."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in of]


def stream() -> ImageStream:
    return digits(augmentation="crop-flip", backbone="small-convnet")


def learned(learner, experiences=3, **options):
    strategy = make(learner, stream=stream(), epochs=2, **options)
    for experience in list(stream().train_stream)[:experiences]:
        strategy.train(experience, eval_streams=[])
    return strategy


def same(one, other):
    tensors = other.model.state_dict()
    return all(torch.equal(tensor, tensors[name]) for name, tensor in one.model.state_dict().items())


class AtFirstSteps(SupervisedPlugin):
    """Looks at each experience's first step before it is taken."""

    works_in_blocks = True

    def __init__(self, look):
        super().__init__()
        self.look = look

    def before_training_epoch(self, strategy, **kwargs):
        if strategy.clock.train_exp_epochs == 0:
            self.look(DryStep(strategy.dataloader, next(iter(strategy.dataloader.blocks()))))


class AtFirstBlocks(SupervisedPlugin):
    """Draws each experience's first block, as a dry step does, and takes no step."""

    works_in_blocks = True

    def before_training_epoch(self, strategy, **kwargs):
        if strategy.clock.train_exp_epochs == 0:
            next(iter(strategy.dataloader.blocks()))


def after(dry, step):
    """What is outside of a step after `step` has been taken, which is taken back."""
    step()
    values = [tensor.detach().clone() for tensor in dry.outside]
    dry.undo()
    return values


def gradient_error(before, one, other):
    """Relative difference of all gradients together, as the optimizer's means have them, which begin at 0."""
    means = [number for number, was in enumerate(before) if was.ndim and was.is_floating_point() and not was.any()]
    mine, its = (torch.cat([after[number].double().flatten() for number in means]) for after in (one, other))
    assert mine.any()
    return (mine - its).norm() / mine.norm()


@pytest.mark.parametrize("learner", some_slow("latent replay", "partial hypernetwork"))
def test_what_is_traced_of_a_step_is_the_step(learner, monkeypatch):
    monkeypatch.setattr(compiled, "_lowered", lambda module, tensors: module)
    monkeypatch.setattr(compiled, "_COMPILED", {})
    looked = []

    def look(dry):
        before = [tensor.detach().clone() for tensor in dry.outside]
        made = compiled.compile_steps(dry)
        for tensor, value in zip(dry.outside, before, strict=True):
            assert torch.equal(tensor, value)
        eager = after(dry, dry.take)
        block, outside = dry.block(1), [tensor.detach() for tensor in dry.outside]
        traced = after(dry, lambda: made.execute(block, outside, dry.steps))
        assert gradient_error(before, eager, traced) < 1e-4
        changed = sum(not torch.equal(was, one) for was, one in zip(before, eager, strict=True))
        assert all(torch.allclose(one, other, atol=1e-2) for one, other in zip(eager, traced, strict=True))
        looked.append(changed)

    strategy = make(learner, stream=stream(), plugins=[AtFirstSteps(look)])
    for experience in list(stream().train_stream)[:3]:
        strategy.train(experience, eval_streams=[])
    assert len(looked) == 3
    assert min(looked) > 5


@pytest.mark.parametrize(
    "learner",
    [
        "naive",
        "separate",
        "latent replay",
        "partial hypernetwork",
        "distilled hypernetwork",
        "full hypernetwork",
        "der at depth 1",
    ],
)
def test_experiences_that_do_the_same_have_one_program_and_can_be_moved(learner):
    found = []
    plugin = AtFirstSteps(lambda dry: found.append((dry.fingerprint, dry.movable)))
    strategy = make(learner, stream=stream(), plugins=[plugin])
    for experience in stream().train_stream:
        strategy.train(experience, eval_streams=[])
    assert all(movable for _, movable in found)
    assert len({fingerprint for fingerprint, _ in found[2:]}) == 1


@pytest.mark.parametrize(
    "learner",
    some_slow(
        "latent replay",
        "partial hypernetwork",
        of=["naive", "latent replay", "partial hypernetwork", "distilled hypernetwork"],
    ),
)
def test_training_after_a_dry_step_is_training_without_one(learner):
    work = []
    watched = learned(learner, plugins=[AtFirstSteps(lambda dry: work.append(dry.macs))])
    assert same(watched, learned(learner, plugins=[AtFirstBlocks()]))
    assert len(work) == 3
    assert min(sum(step.values()) for _, step in work) > 0


class EveryStep(SupervisedPlugin):
    def __init__(self):
        super().__init__()
        self.steps = 0

    def after_update(self, strategy, **kwargs):
        self.steps += 1


def test_a_plugin_with_hooks_of_iterations_makes_the_engine_eager_and_is_told_of_once():
    plugin = EveryStep()
    strategy = make("naive", stream=stream(), epochs=2, engine="compiled", plugins=[plugin])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for experience in list(stream().train_stream)[:2]:
            strategy.train(experience, eval_streams=[])
    assert [str(w.message) for w in told if "engine" in str(w.message)] == [
        "engine eager in place of compiled: EveryStep has a hook after_update, which is called at each step"
    ]
    assert strategy.engine.name == "eager"
    assert plugin.steps == strategy.clock.train_iterations > 0


def test_avalanches_loggers_of_iterations_make_the_engine_eager_and_those_of_epochs_do_not():
    from avalanche.evaluation.metrics import loss_metrics
    from avalanche.training.plugins import EvaluationPlugin

    for metric, name in ((loss_metrics(epoch=True), "eager"), (loss_metrics(experience=True), "compiled")):
        strategy = make("naive", stream=stream(), engine="compiled", evaluator=EvaluationPlugin(metric, loggers=[]))
        strategy.engine.choose(_steps_of(strategy))
        assert strategy.engine.name == name


def _steps_of(strategy):
    from clhyper.engine.steps import Steps

    return Steps(strategy, strategy.supply.training(stream().train_stream[0].images), None)


def test_captured_on_a_cpu_and_unknown_engines_are_refused():
    with pytest.raises(UserError, match="engine captured: captures CUDA graphs, and the device is cpu"):
        make("naive", engine="captured")
    with pytest.raises(UserError, match="engine 'compild'"):
        make("naive", engine="compild")


def test_on_a_cpu_compiled_gives_way_where_eager_is_faster(monkeypatch):
    monkeypatch.setattr(compiled, "_lowered", lambda module, tensors: module)
    monkeypatch.setattr(engines.Engine, "_is_faster", lambda *given: False)
    strategy = make("naive", stream=stream(), epochs=2, engine="compiled")
    with pytest.warns(RuntimeWarning, match="on this CPU it is the faster"):
        strategy.train(stream().train_stream[0], eval_streams=[])
    assert strategy.engine.name == "eager"
    eager = make("naive", stream=stream(), epochs=2, engine="eager")
    eager.train(stream().train_stream[0], eval_streams=[])
    assert same(eager, strategy)


def test_a_step_that_cannot_be_compiled_is_taken_eagerly_with_the_reason(monkeypatch):
    def fails(module, tensors):
        raise RuntimeError("no compiler here\nand more")

    monkeypatch.setattr(compiled, "_lowered", fails)
    monkeypatch.setattr(compiled, "_COMPILED", {})
    strategy = make("naive", stream=stream(), engine="compiled")
    with pytest.warns(RuntimeWarning, match=r"could not be compiled \(RuntimeError: no compiler here and more\)"):
        strategy.train(stream().train_stream[0], eval_streams=[])
    eager = make("naive", stream=stream(), engine="eager")
    eager.train(stream().train_stream[0], eval_streams=[])
    assert same(eager, strategy)


@pytest.mark.parametrize(
    "learner",
    some_slow("latent replay", of=["naive", "partial hypernetwork", "distilled hypernetwork", "latent replay"]),
)
def test_costs_without_hooks_are_those_with_hooks(learner, monkeypatch):
    monkeypatch.setattr(compiled, "_lowered", lambda module, tensors: module)
    monkeypatch.setattr(compiled, "_COMPILED", {})
    monkeypatch.setattr(engines.Engine, "_is_faster", lambda *given: True)
    meters = {}
    for engine in ("eager", "compiled"):
        meters[engine] = CostMeter()
        strategy = learned(learner, engine=engine, plugins=[meters[engine]])
        assert strategy.engine.name == engine
    for one, other in zip(meters["eager"].records, meters["compiled"].records, strict=True):
        for name in ("train", *PARTS):
            assert one[f"{name}_macs"] == other[f"{name}_macs"], name
        assert one["loss_by_epoch"] == pytest.approx(other["loss_by_epoch"], rel=1e-2)  # rounding grows
        assert one["steps"] == other["steps"]
        assert other["compilation_seconds"] > 0
        assert other["engine"] == "compiled"


# On a GPU


@pytest.fixture
def deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@gpu
@pytest.mark.parametrize("learner", LEARNERS)
def test_captured_is_eager_bit_for_bit(learner, deterministic):
    eager = learned(learner, experiences=5, device="cuda", engine="eager")
    captured = learned(learner, experiences=5, device="cuda", engine="captured")
    assert captured.engine.name == "captured"
    assert same(eager, captured)


@gpu
@pytest.mark.parametrize(
    "learner", ["naive", "latent replay", "partial hypernetwork", "distilled hypernetwork", "full hypernetwork"]
)
def test_a_step_is_captured_once_a_stream(learner, monkeypatch):
    made = []
    wrapped = GraphProgram.__init__

    def counting(self, *given, **named):
        made.append(self)
        wrapped(self, *given, **named)

    monkeypatch.setattr(GraphProgram, "__init__", counting)
    learned(learner, experiences=5, device="cuda", engine="captured")
    assert len(made) <= 3  # the front is trained; nothing is protected yet; all the others


@gpu
@pytest.mark.parametrize(
    "learner",
    ["naive at depth 2", "partial hypernetwork", "distilled hypernetwork", "latent replay", "lwf at depth 1"],
)
def test_a_compiled_step_on_a_gpu_is_the_eager_one_to_one_in_ten_thousand(learner):
    looked = []

    def look(dry):
        if dry.strategy.clock.train_exp_counter != 1:
            return
        before = [tensor.detach().clone() for tensor in dry.outside]
        eager = after(dry, dry.take)
        made = compiled.compile_steps(dry)
        block, outside = dry.block(1), [tensor.detach() for tensor in dry.outside]
        fast = after(dry, lambda: made.execute(block, outside, dry.steps))
        assert gradient_error(before, eager, fast) < 1e-4
        looked.append(dry)

    with torch.backends.cudnn.flags(allow_tf32=False):
        strategy = make(learner, stream=stream(), device="cuda", plugins=[AtFirstSteps(look)])
        for experience in list(stream().train_stream)[:2]:
            strategy.train(experience, eval_streams=[])
    assert looked


@gpu
def test_a_learning_rate_that_changes_between_epochs_reaches_a_captured_step(deterministic):
    from avalanche.training.plugins import LRSchedulerPlugin

    class Halving(SupervisedPlugin):
        def after_training_epoch(self, strategy, **kwargs):
            for group in strategy.optimizer.param_groups:
                group["lr"] = group["lr"] / 2

    assert LRSchedulerPlugin
    runs = [learned("naive", device="cuda", engine=engine, plugins=[Halving()]) for engine in ("eager", "captured")]
    assert same(*runs)
    assert not same(runs[0], learned("naive", device="cuda", engine="eager"))


@gpu
def test_evaluation_and_accuracy_are_the_same_after_captured_training(deterministic):
    matrices = []
    for engine in ("eager", "captured"):
        accuracy = AccuracyMatrix(stream().test_stream)
        learned("partial hypernetwork", device="cuda", engine=engine, plugins=[accuracy])
        matrices.append(accuracy.matrix)
    assert matrices[0] == matrices[1]


def dry_steps(learner, **options):
    """The first steps of a stream's experiences 2 and 3, found without being captured."""
    found = []
    strategy = make(learner, stream=stream(), plugins=[AtFirstSteps(found.append)], **options)
    for experience in list(stream().train_stream)[:3]:
        strategy.train(experience, eval_streams=[])
    one, other = found[1:]
    found.clear()
    return one, other


def test_tensors_that_move_to_a_program_keep_their_numbers_and_shared_ones_stay():
    one, other = dry_steps("separate")
    assert one.fingerprint == other.fingerprint
    program = GraphProgram(one, compiled=False)
    places = [tensor.data_ptr() for tensor in one.outside]
    values = [[tensor.detach().clone() for tensor in dry.outside] for dry in (one, other)]
    program.end()
    program.begin(other)
    assert [tensor.data_ptr() for tensor in other.outside] == places
    shared = [was is now for was, now in zip(one.outside, other.outside, strict=True)]
    assert any(shared)  # the mean and deviation of images, which runs side by side share too
    assert not all(shared)
    for same_tensor, tensor, place in zip(shared, one.outside, places, strict=True):
        assert (tensor.data_ptr() == place) == same_tensor
    for dry, wanted in zip((one, other), values, strict=True):
        assert all(torch.equal(tensor, value) for tensor, value in zip(dry.outside, wanted, strict=True))
    program.end()
    program.begin(one)
    assert [tensor.data_ptr() for tensor in one.outside] == places
    assert all(torch.equal(tensor, value) for tensor, value in zip(one.outside, values[0], strict=True))


@pytest.mark.parametrize(
    "hook", ["before_training_epoch", pytest.param("after_training_epoch", marks=pytest.mark.slow)]
)
def test_a_learning_rate_that_a_plugin_sets_between_epochs_reaches_a_compiled_step(hook, monkeypatch):
    monkeypatch.setattr(compiled, "_lowered", lambda module, tensors: module)
    monkeypatch.setattr(compiled, "_COMPILED", {})
    monkeypatch.setattr(engines.Engine, "_is_faster", lambda *given: True)
    moved = []

    def standing_still(self, strategy, **kwargs):
        if strategy.clock.train_exp_epochs == 1 or hook == "after_training_epoch":
            moved.append({name: tensor.clone() for name, tensor in strategy.model.named_parameters()})
            for group in strategy.optimizer.param_groups:
                group["lr"] = 0.0

    plugin = type("StandingStill", (SupervisedPlugin,), {hook: standing_still})()
    strategy = make("naive", stream=stream(), epochs=2, engine="compiled", plugins=[plugin])
    strategy.train(stream().train_stream[0], eval_streams=[])
    assert strategy.engine.name == "compiled"
    for name, tensor in strategy.model.named_parameters():
        assert torch.equal(tensor, moved[0][name])


def test_a_program_holds_nothing_of_the_experience_that_it_was_made_in():
    one, other = dry_steps("separate")
    program = GraphProgram(one, compiled=False)
    made_in, copies = weakref.ref(one), weakref.ref(one.undo.__self__)
    one.settle()
    gc.collect()
    assert copies() is None
    program.end()
    program.begin(other)
    del one
    gc.collect()
    assert made_in() is None
