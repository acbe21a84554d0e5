"""The attention function that knows which prompt belongs to which row, and the layout of a packed
batch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch.nn.functional import dropout, pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from pdlib.run import stages

NAME, PLAIN = "shared_prefix", "sdpa"
ARCHITECTURES = ("llama", "qwen3")  # others may work, these are tested
MASKED_GQA = (
    "cpu",
)  # devices on which a mask and fewer keys than query heads go together well in PyTorch's attention
TOKENS_STEP, WIDTH_STEP = (
    64,
    16,
)  # to which numbers of tokens and widths of blocks are rounded up where `rounds` says so


def attend(module, query, key, value, attention_mask, shared_prefix=None, **options):
    """Plain scaled dot-product attention, unless the call carries a layout (keyword
    `shared_prefix`), which then attends.
    """
    if shared_prefix is not None:
        return shared_prefix.attend(
            module.layer_idx, query, key, value, options["scaling"], options.get("dropout", 0.0)
        ), None
    if trains_in_bf16_on_cpu(query):
        seen = {"is_causal": True} if attention_mask is None else {"attn_mask": attention_mask}
        found = by_products(
            query,
            key,
            value,
            scale=options["scaling"],
            dropout_p=options.get("dropout", 0.0),
            **seen,
        )
        return found.transpose(1, 2).contiguous(), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(
    NAME, sdpa_mask
)  # for calls without a layout; a layout's own mask is 4-D and passes as it is


def base_model(model) -> PreTrainedModel:
    return model.get_base_model() if isinstance(model, PeftModel) else model


def obstacle(model) -> str | None:
    """Why this model cannot share prefixes; None when it can."""
    base = base_model(model)
    if not isinstance(base, PreTrainedModel):
        return f"{type(base).__name__} is no transformers model"
    config = base.config
    if config.model_type not in ARCHITECTURES:
        return f"the architecture {config.model_type!r} is not one of {', '.join(ARCHITECTURES)}"
    if config._attn_implementation not in (NAME, PLAIN):
        return f"the model was loaded with attn_implementation={config._attn_implementation!r}, not {PLAIN!r}"
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        return "some layers attend within a sliding window only"
    if (rope := config.rope_parameters["rope_type"]) in ("dynamic", "longrope"):
        return f"rotary embeddings of type {rope!r} depend on how long the whole batch is"
    if isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning:
        return "the adapter puts virtual tokens before the prompt"
    if len(set((getattr(base, "hf_device_map", None) or {}).values())) > 1:
        return "the model is spread over several devices"
    return None


def state(what: str, reason: str) -> None:
    """Say once in a process that the plain path is used, and why."""
    stages.say_once(f"{what} without a shared prefix (slower, same results): {reason}")


@contextmanager
def switched_on(model) -> Iterator[None]:
    config = base_model(model).config
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def to_blocks(packed: torch.Tensor, place: torch.Tensor, count: int, width: int) -> torch.Tensor:
    """(1, H, N, D) -> (count, H, width, D): token i goes to flat place i, zeros where there is
    none; tokens beyond the places are left out.
    """
    _, heads, _, dim = packed.shape
    n = len(place)
    blocks = packed[0, :, :n].transpose(0, 1)
    if n < count * width:  # else the sequences are equally long and the blocks full
        blocks = packed.new_zeros(count * width, heads, dim).index_copy(0, place, blocks)
    return blocks.reshape(count, width, heads, dim).transpose(1, 2)


def from_blocks(blocks: torch.Tensor, place: torch.Tensor, n: int) -> torch.Tensor:
    """(count, H, width, D) -> (n, H, D), the inverse of `to_blocks`; zeros beyond the places."""
    packed = blocks.transpose(1, 2).flatten(0, 1)
    packed = packed if len(place) == len(packed) else packed.index_select(0, place)
    return packed if len(place) == n else pad(packed, (0, 0, 0, 0, 0, n - len(place)))


def _filled(sequences: Sequence[Sequence[int]], n: int) -> list[int]:
    """Their numbers one after the other, and zeros up to `n`."""
    flat = [number for sequence in sequences for number in sequence]
    return flat + [0] * (n - len(flat))


def bf16_on_cpu(x: torch.Tensor) -> bool:
    """Is `x` computed with in bfloat16 on a CPU, by its own type or by autocast?"""
    return x.device.type == "cpu" and (
        torch.is_autocast_enabled("cpu") or x.dtype == torch.bfloat16
    )


def trains_in_bf16_on_cpu(x: torch.Tensor) -> bool:
    return x.requires_grad and bf16_on_cpu(x)


def _dot_product(query, key, value, **options) -> torch.Tensor:
    heads = query.shape[1] // key.shape[1]
    if "attn_mask" in options and query.device.type not in MASKED_GQA:
        key, value = repeat_kv(key, heads), repeat_kv(value, heads)
    return scaled_dot_product_attention(
        query, key, value, enable_gqa=query.shape[1] != key.shape[1], **options
    )


def by_products(
    query,
    key,
    value,
    *,
    scale: float,
    dropout_p: float,
    attn_mask: torch.Tensor | None = None,
    is_causal: bool = False,
) -> torch.Tensor:
    """The same as matrix products with a softmax between them, as Transformers' "eager" attention
    computes it.

    On a CPU PyTorch's fused attention goes backward slowly in bfloat16: 16 sequences of 144 tokens
    with 9 heads of 64 dimensions took 44 ms forward and backward, these products 17 (Intel Xeon
    with AMX, 2 cores).
    """
    heads = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, heads), repeat_kv(value, heads)
    seen = (
        torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
        if is_causal
        else attn_mask
    )
    scores = query @ key.transpose(2, 3) * scale
    scores = scores + torch.zeros_like(seen, dtype=scores.dtype).masked_fill_(~seen, -torch.inf)
    weights = scores.softmax(3, dtype=torch.float32).to(scores.dtype)
    return dropout(weights, dropout_p) @ value


def rounds(model) -> bool:
    """Is it worth while to round the shapes of a packed batch up? True for bfloat16 on a CPU.

    There PyTorch's matrix products are compiled anew for each shape that comes up. Where every
    batch has a shape of its own, this took a tenth of a DualGRPO step of a model of 135 M
    parameters.
    """
    return bf16_on_cpu(
        next(model.parameters())
    )  # a model that is wrapped for several processes has no dtype of its own


def _up(n: int, step: int) -> int:
    """`n`, rounded up to a multiple of `step`."""
    return -(-n // step) * step


def _places(lengths: Sequence[int], width: int, device) -> torch.Tensor:
    """Flat places of the tokens of sequences of these lengths in a block that is padded on the
    right to `width`.
    """
    return torch.cat(
        [torch.arange(n) + i * width for i, n in enumerate(lengths)] or [torch.arange(0)]
    ).to(device)


class Packed:
    """One sequence [all prompts' tokens | all rows' tokens], shape (1, N), nowhere padded but
    inside attention.

    prompts: token ids of the G distinct prompts; rows: token ids that follow them; group: each
    row's place in `prompts`. With `keep`, the prompts' keys and values of each layer are left in
    `kept` (for decoding). With `rounded`, see `rounds`, each of the two parts ends in tokens that
    attend to nothing and to which nothing attends: [prompts | fill | rows | fill]; n_prompt_tokens
    and n_row_tokens count them. With `products` it attends by the function `by_products`.
    """

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[Sequence[int]],
        group: Sequence[int],
        device,
        keep: bool = False,
        rounded: bool = False,
        products: bool = False,
    ):
        self.dot_product = by_products if products else _dot_product
        self.rows = rows
        self.lengths, self.row_lengths = [len(p) for p in prompts], [len(r) for r in rows]
        tokens_step, width_step = (TOKENS_STEP, WIDTH_STEP) if rounded else (1, 1)
        self.n_prompt_tokens, self.n_row_tokens = (
            _up(sum(lengths), tokens_step) for lengths in (self.lengths, self.row_lengths)
        )
        self.width, self.row_width = (
            _up(max(lengths, default=0), width_step) for lengths in (self.lengths, self.row_lengths)
        )
        self.prompt_place = _places(self.lengths, self.width, device)
        self.row_place = _places(self.row_lengths, self.row_width, device)
        self.group = torch.tensor(group, dtype=torch.long, device=device)  # (R,)
        ids = _filled(prompts, self.n_prompt_tokens) + _filled(rows, self.n_row_tokens)
        positions = _filled([range(n) for n in self.lengths], self.n_prompt_tokens) + _filled(
            [
                range(self.lengths[g], self.lengths[g] + n)
                for g, n in zip(group, self.row_lengths, strict=True)
            ],
            self.n_row_tokens,
        )
        self.ids, self.positions = (
            torch.tensor([x], dtype=torch.long, device=device) for x in (ids, positions)
        )  # (1, N)
        self.mask = self._mask(device)
        self.kept: dict[int, tuple[torch.Tensor, torch.Tensor]] | None = {} if keep else None

    def _mask(self, device) -> torch.Tensor:
        """(R, 1, T, P + T), True where a row's token sees its prompt's or its own token."""
        width, own = self.width, self.row_width
        lengths = torch.tensor(self.lengths, device=device)[self.group]
        prompt = torch.arange(width, device=device) < lengths[:, None]  # (R, P)
        causal = torch.ones(own, own, dtype=torch.bool, device=device).tril()
        count = len(self.group)
        return torch.cat(
            [prompt[:, None].expand(count, own, width), causal.expand(count, own, own)], 2
        )[:, None]

    def inputs(self) -> dict:
        """What the model is called with."""
        return {
            "input_ids": self.ids,
            "position_ids": self.positions,
            "attention_mask": self.mask,
            "use_cache": False,
            NAME: self,
        }

    def attend(self, layer: int, query, key, value, scale: float, dropout: float) -> torch.Tensor:
        """(1, H, N, D) queries and (1, H_kv, N, D) keys and values -> (1, N, H, D)."""
        options = {"scale": scale, "dropout_p": dropout}
        sizes = [self.n_prompt_tokens, self.n_row_tokens]
        (query, own_query), (key, own_key), (value, own_value) = (
            x.split(sizes, 2) for x in (query, key, value)
        )
        block = (len(self.lengths), self.width)
        # Padding stands on the right, where no real token looks.
        query, key, value = (to_blocks(x, self.prompt_place, *block) for x in (query, key, value))
        if self.kept is not None:
            self.kept[layer] = (key, value)
        found = self.dot_product(query, key, value, is_causal=True, **options)
        out = [from_blocks(found, self.prompt_place, self.n_prompt_tokens)]
        if self.rows:
            block = (len(self.rows), self.row_width)
            query, own_key, own_value = (
                to_blocks(x, self.row_place, *block) for x in (own_query, own_key, own_value)
            )
            key, value = (
                torch.cat([shared.index_select(0, self.group), own], 2)
                for shared, own in ((key, own_key), (value, own_value))
            )
            found = self.dot_product(query, key, value, attn_mask=self.mask, **options)
            out.append(from_blocks(found, self.row_place, self.n_row_tokens))
        return torch.cat(out)[None]
