import pytest
import torch
from small_t5 import small_t5

from clhyper.errors import UserError
from clhyper.text.hyperloader import HyperLoader
from clhyper.text.labels import Sentence, tagged_set
from clhyper.text.learning import Labeller, Settings
from clhyper.text.pretraining import corrupt, pretrained_t5
from clhyper.text.tokenizer import trained_tokenizer

WORDS = ("sun", "moon", "star", "rain", "snow", "wind")
LINES = ["sun moon star rain snow wind", "A B PER O I", "wind snow rain star moon sun"] * 3


def task(labels, size, kind="tags"):
    draws = torch.Generator().manual_seed(size)
    rows = torch.randint(len(WORDS), (size, 3), generator=draws).tolist()
    sentences = [Sentence(tuple(WORDS[n] for n in row), tuple(labels[n % 2] for n in row)) for row in rows]
    return tagged_set("weather", kind, sentences, sentences[:8])


@pytest.fixture(scope="module")
def tokenizer():
    return trained_tokenizer(LINES, pieces=60, sentinels=8)


def labeller(tokenizer, **settings):
    t5 = small_t5(vocab_size=len(tokenizer), eos_token_id=1, pad_token_id=0, num_layers=1, num_decoder_layers=1)
    torch.manual_seed(0)
    model = HyperLoader(t5, reduction=4, rank=8)
    return Labeller(model, tokenizer, Settings(**{"batch_size": 16, "learning_rate": 1e-3, **settings}))


def test_tasks_learned_one_after_another_are_learned_and_the_drift_keeps_the_first_ones_weights(tokenizer):
    moved = {}
    for beta in (0.0, 1.0):
        learner = labeller(tokenizer, beta=beta)
        for labels in ("AB", "BA"):
            learner.add(task(labels, 60))
        losses = learner.learn(0, 30)
        assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
        before, z = learner.model.weights(0), learner.model.hypernetwork.embeddings[0].detach().clone()
        t5 = {name: tensor.clone() for name, tensor in learner.model.t5.state_dict().items()}
        learner.learn(1, 10)
        after = learner.model.weights(0)
        moved[beta] = sum((after[name] - before[name]).square().sum().item() for name in before)
        assert torch.equal(learner.model.hypernetwork.embeddings[0], z)
        assert all(torch.equal(tensor, t5[name]) for name, tensor in learner.model.t5.state_dict().items())
    assert moved[1.0] < 0.2 * moved[0.0]


def test_together_tasks_come_in_proportion_to_the_tenth_root_of_their_size(tokenizer):
    learner = labeller(tokenizer)
    for size in (10, 10 * 2**10):
        learner.add(task("AB", size))
    assert learner.shares().tolist() == pytest.approx([1 / 3, 2 / 3])
    assert len(learner.learn_together(2)) == 2


def test_every_word_gets_a_label_and_the_score_is_that_of_the_labels(tokenizer):
    learner = labeller(tokenizer)
    learner.add(task(("B-PER", "O"), 20, "spans"))
    labels = learner.label(0, [WORDS[:2], WORDS * 3, ()])
    assert [len(its) for its in labels] == [2, 18, 0]
    assert {label for its in labels for label in its} <= {"O", "B-PER", "I-PER"}
    assert 0 <= learner.score(0) <= 1


@pytest.mark.slow
def test_what_was_learned_by_heart_is_labelled_right_through_its_own_weights_and_the_merged_ones(tokenizer):
    learner = labeller(tokenizer, batch_size=8, learning_rate=3e-4)
    learner.model.t5.requires_grad_(True)  # with a random T5 frozen it takes many steps
    words, labels = WORDS[:3], ("A", "A", "A")
    learner.add(tagged_set("weather", "tags", [Sentence(words, labels)], [Sentence(words, labels)]))
    scores = (learner.learn(0, 40) and learner.score(0) for _ in range(10))
    assert 1 in scores  # stops at the first
    with learner.model.serving(0) as t5:
        ids = torch.tensor([learner._pieces[0][0].source])
        written = t5.generate(ids, max_new_tokens=20)
    assert torch.equal(learner.model.merged(0).generate(ids, max_new_tokens=20), written)
    assert written[0, 1:].tolist() == learner._pieces[0][0].target


def test_corruption_loses_no_token_and_leaves_out_fifteen_percent():
    draws = torch.Generator().manual_seed(0)
    sentinels = list(range(1000, 1100))
    for length in (2, 3, 7, 40, 128):
        ids = list(range(10, 10 + length))
        source, target = corrupt(ids, sentinels, 1, draws)
        parts, now = {}, None
        for token in target[:-1]:
            now = parts.setdefault(token, []) if token in sentinels else now.append(token) or now
        whole = [token for one in source[:-1] for token in (parts[one] if one in sentinels else [one])]
        assert whole == ids
        assert sum(map(len, parts.values())) == max(1, round(0.15 * length))
        assert (source[-1], target[-1]) == (1, 1)


def test_a_small_t5_learns_to_fill_in_what_was_left_out(tokenizer):
    sentinels = tokenizer.convert_tokens_to_ids([f"<extra_id_{n}>" for n in range(8)])
    sizes = {"width": 32, "layers": 1, "heads": 2, "window": 16, "batch_size": 16}
    t5, losses = pretrained_t5(LINES * 4, tokenizer, sentinels, steps=40, learning_rate=1e-2, **sizes)
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    assert not t5.training
    again, same = pretrained_t5(LINES * 4, tokenizer, sentinels, steps=2, learning_rate=1e-2, **sizes)
    other, _ = pretrained_t5(LINES * 4, tokenizer, sentinels, steps=2, learning_rate=1e-2, **sizes)
    assert all(torch.equal(one, two) for one, two in zip(again.parameters(), other.parameters(), strict=True))
    assert len(same) == 2
    with pytest.raises(UserError, match="a window"):
        pretrained_t5(["sun"], tokenizer, sentinels)
