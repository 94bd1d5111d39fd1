import torch
from transformers import T5Config, T5ForConditionalGeneration


def small_t5(seed: int = 0, **options: object) -> T5ForConditionalGeneration:
    torch.manual_seed(seed)
    config = T5Config(
        **{
            "vocab_size": 60,
            "d_model": 32,
            "d_kv": 8,
            "num_heads": 2,
            "d_ff": 48,
            "num_layers": 3,
            "num_decoder_layers": 2,
            "dropout_rate": 0.0,
            "decoder_start_token_id": 0,
            **options,
        }
    )
    return T5ForConditionalGeneration(config).eval()


def batch(seed: int = 1, rows: int = 3, length: int = 7) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 60, (rows, length), generator=draws)
    mask = torch.ones_like(ids)
    mask[0, length - 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.randint(2, 60, (rows, 5), generator=draws)}
