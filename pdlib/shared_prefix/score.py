"""Training's forward pass: log-probabilities of completions, with each distinct prompt once.

Nothing is padded in the network.
"""

import torch
from torch.nn.functional import pad

from pdlib.shared_prefix.attention import NAME, base_model, computes_in_bf16_on_cpu
from pdlib.shared_prefix.packed import Packed
from pdlib.shared_prefix.trl_inside import attend_by


def _completions_only(_module, _args, kwargs: dict, output):
    """Forward hook of the backbone: of a packed batch, only rows' tokens go on to the head."""
    layout = kwargs.get(NAME)
    if isinstance(layout, Packed) and layout.rows:
        output.last_hidden_state = output.last_hidden_state[:, layout.n_prompt_tokens :]
    return output


def prepare(model) -> None:
    """Make a model with TRL's fused head ready for `per_token`; a second call does nothing.

    The head is that of trl.trainer.utils.add_fused_lm_head. The attention stays switched on, since
    gradient checkpointing calls the layers again in the backward pass, when a context manager would
    be over. Calls without a layout are plain all the same.
    """
    base = base_model(model)
    attend_by(base.config, NAME)
    if _completions_only not in base.base_model._forward_hooks.values():
        base.base_model.register_forward_hook(_completions_only, with_kwargs=True)


def per_token(
    model, ids: torch.Tensor, mask: torch.Tensor, width: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(R, T) log-probabilities and entropies of the last T = `width` of `ids` (R, P + T).

    They are zero where `mask` (R, P + T) is. A row's first token in the network is the prompt's
    last, so every row's outputs are its own, and the head (TRL's, in chunks of tokens and
    vocabulary, divided by the temperature) sees these outputs only. In bfloat16 on a CPU it attends
    by `attention.by_products`, with or without a gradient: two ways would round differently, and
    policy and reference seem apart before the first update.
    """
    in_bf16 = computes_in_bf16_on_cpu(model)
    texts = [
        [token for token, is_real in zip(row, reals, strict=True) if is_real]
        for row, reals in zip(ids.tolist(), mask.tolist(), strict=True)
    ]
    lengths = mask[:, :-width].sum(1).tolist()
    prompts = [tuple(text[:n]) for text, n in zip(texts, lengths, strict=True)]
    group = {prompt: g for g, prompt in enumerate(dict.fromkeys(prompts))}
    packed = Packed(
        [prompt[:-1] for prompt in group],
        [text[n - 1 : -1] for text, n in zip(texts, lengths, strict=True)],
        [group[prompt] for prompt in prompts],
        ids.device,
        rounded=in_bf16,
        products=in_bf16,
    )
    is_completion = mask[:, -width:].bool()  # (R, T)
    labels = ids[:, -width:][is_completion]  # (number of completion tokens,)
    filled = pad(labels, (0, packed.n_row_tokens - len(labels)))[None]
    out = model(**packed.inputs(), shift_labels=filled, fused_lm_head=True)

    def by_row(values: torch.Tensor | None) -> torch.Tensor | None:
        if values is None:
            return None
        zeros = values.new_zeros(is_completion.shape)  # (R, T)
        return zeros.masked_scatter(is_completion, values[:, : len(labels)])

    return by_row(out.log_probs), by_row(out.entropy)
