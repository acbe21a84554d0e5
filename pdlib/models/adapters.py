"""LoRA adapters, and mode prefixes as tokens of their own, which an adapter has to train, too."""

import torch
from peft import LoraConfig
from tokenizers import AddedToken
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations import is_deepspeed_zero3_enabled

from pdlib import modes
from pdlib.schema import PAPER_MODES, ModeSet


def lora(
    tokenizer: PreTrainedTokenizerBase,
    rank: int = 16,
    alpha: int = 32,
    dropout: float = 0.0,
    tied: bool = True,
    mode_set: ModeSet = PAPER_MODES,
) -> LoraConfig:
    """LoRA on all linear layers.

    Where the mode prefixes are tokens of their own, their embeddings are trained too. tied: whether
    the output embeddings are the input ones; if not, both are trained, or the model could read its
    new tokens but hardly learn to write them.
    """
    prefixes = list(modes.prefix_ids(tokenizer, mode_set).values())
    trained_tokens = None
    if all(len(ids) == 1 for ids in prefixes):
        mode_tokens = [ids[0] for ids in prefixes]
        trained_tokens = (
            mode_tokens if tied else {"embed_tokens": mode_tokens, "lm_head": mode_tokens}
        )
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        trainable_token_indices=trained_tokens,
    )


def add_mode_tokens(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    mode_set: ModeSet = PAPER_MODES,
) -> list[int]:
    """Give each mode's prefix one token of its own, before SFT; return the new ids.

    This is `prefix_style="token"`. A new token starts as the mean of the pieces that the prefix was
    written in, in both embeddings, so that the model meets it near what it already knows. Model and
    tokenizer are changed in place. LoRA leaves new tokens as they are unless its config names them,
    as that of `lora` does.
    """
    prefixes = [mode.tag + "\n" for mode in mode_set]
    pieces = {text: tokenizer(text, add_special_tokens=False)["input_ids"] for text in prefixes}
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in prefixes])
    pieces_of_new = {
        tokenizer.convert_tokens_to_ids(text): ids for text, ids in pieces.items() if len(ids) > 1
    }
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for embedding in {model.get_input_embeddings(), model.get_output_embeddings()}:
            for token, ids in pieces_of_new.items():
                embedding.weight[token] = embedding.weight[ids].mean(0)
    return list(pieces_of_new)


def train_in_32_bits(model: torch.nn.Module) -> None:
    """Hold what is trained in 32 bits, whatever the frozen weights are held in.

    TRL casts adapters on a base in 4 bits to bfloat16 (paper QLoRA, section 3). There a step of
    1e-5 is lost to rounding in most entries. DeepSpeed, which keeps a copy of its own in 32 bits,
    is left alone.
    """
    if is_deepspeed_zero3_enabled():
        return
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()


def give_head_a_bias(model: PreTrainedModel) -> None:
    """Say that the language model head has no bias, where nothing says so.

    TRL reads `lm_head.bias`, which PEFT's wrapper of single trained tokens lacks where embeddings
    are tied.
    """
    head = model.get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None
