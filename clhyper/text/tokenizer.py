"""A T5's tokenizer: from the hub, from a folder, or trained on the stream's own text."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from clhyper.errors import UserError, require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SENTINELS = 100
_SPECIAL = ("<pad>", "</s>", "<unk>")


def trained_tokenizer(
    lines: Iterable[str], pieces: int = 4000, sentinels: int = SENTINELS
) -> "PreTrainedTokenizerBase":
    """A T5 tokenizer trained on lines of text: unigram pieces (Kudo 2018) in T5's layout, sentinels last.

    Characters that the text doesn't have become <unk>. `save_pretrained` and `load_tokenizer` keep it: that is what to
    use a second time, since the trainer may choose other pieces where several are as good.

    Args:
        lines: Text, with the names of labels if they should be learned too.
        pieces: At most; a small text gives fewer.
        sentinels: <extra_id_0> to <extra_id_{sentinels - 1}>.

    Raises:
        UserError: fewer pieces than special tokens, no sentinel, or no text; or transformers is missing.
    """
    require(pieces > len(_SPECIAL), f"pieces {pieces}: more than {len(_SPECIAL)}")
    require(sentinels >= 1, f"sentinels {sentinels}: at least 1")
    lines = [line for line in lines if line.strip()]
    require(bool(lines), "the text to train a tokenizer on is empty")
    transformers_there("a tokenizer")
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import T5Tokenizer

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=pieces, special_tokens=list(_SPECIAL), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    found = [(piece, round(score, 2)) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]
    first = len(_SPECIAL)  # the trainer's order of pieces, and their scores' last digits, differ from run to run
    vocabulary = [*found[:first], *sorted(found[first:], key=lambda pair: (-pair[1], pair[0]))]
    vocabulary += [(f"<extra_id_{number}>", 0.0) for number in reversed(range(sentinels))]
    return T5Tokenizer(vocab=vocabulary, extra_ids=sentinels)


def load_tokenizer(name: str) -> "PreTrainedTokenizerBase":
    """The tokenizer in a folder, or of a model on the hub, such as `t5-base`; raises `UserError` if none."""
    transformers_there("a tokenizer")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError):
        raise UserError(_nowhere("tokenizer", name)) from None


def transformers_there(what: str) -> None:
    """Raises `UserError` unless transformers is installed."""
    try:
        import transformers  # noqa: F401
    except ImportError:
        raise UserError(f'{what} of a T5 needs transformers: pip install "clhyper[text]"') from None


def _nowhere(what: str, name: str) -> str:
    if Path(name).is_dir():
        return f"{what} {name}: the folder holds none, or a damaged one; give one that `save_pretrained` wrote"
    return f"{what} {name}: no such folder, and the hub has none by this name or can't be reached; give a folder"
