"""The layout of a packed batch: all prompts and all rows as one sequence without padding."""

from collections.abc import Iterable, Sequence

import torch
from torch.nn.functional import pad

from pdlib.shared_prefix.attention import NAME, by_products, dot_product

# Numbers of tokens and widths of blocks are rounded up to these, where shapes are rounded.
TOKENS_STEP, WIDTH_STEP = 64, 16


def to_blocks(packed: torch.Tensor, slots: torch.Tensor, count: int, width: int) -> torch.Tensor:
    """(1, H, N, D) -> (count, H, width, D): token i goes to flat slot `slots[i]`.

    Slots without a token are zero, tokens beyond the slots are left out.
    """
    _, heads, _, dim = packed.shape
    n = len(slots)
    blocks = packed[0, :, :n].transpose(0, 1)  # (n, H, D)
    if n < count * width:  # else the sequences are equally long and the blocks full
        blocks = packed.new_zeros(count * width, heads, dim).index_copy(0, slots, blocks)
    return blocks.reshape(count, width, heads, dim).transpose(1, 2)


def from_blocks(blocks: torch.Tensor, slots: torch.Tensor, n: int) -> torch.Tensor:
    """(count, H, width, D) -> (n, H, D), the inverse of `to_blocks`; zeros beyond the slots."""
    packed = blocks.transpose(1, 2).flatten(0, 1)  # (count * width, H, D)
    if len(slots) < len(packed):
        packed = packed.index_select(0, slots)
    return packed if len(slots) == n else pad(packed, (0, 0, 0, 0, 0, n - len(slots)))


def _filled(sequences: Iterable[Sequence[int]], n: int) -> list[int]:
    """Their numbers one after the other, and zeros up to `n`."""
    flat = [number for sequence in sequences for number in sequence]
    return flat + [0] * (n - len(flat))


def _rounded_up(n: int, step: int) -> int:
    return -(-n // step) * step


def _slots(lengths: Sequence[int], width: int, device) -> torch.Tensor:
    """Flat slots of the tokens of sequences of these lengths in a block padded right to `width`."""
    slots = [torch.arange(n) + i * width for i, n in enumerate(lengths)]
    return torch.cat(slots or [torch.arange(0)]).to(device)


class Packed:
    """One sequence [all prompts' tokens | all rows' tokens], (1, N), padded in attention only.

    prompts: token ids of the G distinct prompts; rows: token ids that follow them; group: each
    row's index in `prompts`. With `keep`, the prompts' keys and values of each layer are left in
    `cache` (for decoding). With `rounded`, see `attention.computes_in_bf16_on_cpu`, each of the two
    parts ends in tokens that attend to nothing and to which nothing attends:
    [prompts | fill | rows | fill]; n_prompt_tokens and n_row_tokens count them. With `products` it
    attends by `attention.by_products`.
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
        self.dot_product = by_products if products else dot_product
        self.rows = rows
        self.lengths, self.row_lengths = [len(p) for p in prompts], [len(r) for r in rows]
        tokens_step, width_step = (TOKENS_STEP, WIDTH_STEP) if rounded else (1, 1)
        self.n_prompt_tokens = _rounded_up(sum(self.lengths), tokens_step)
        self.n_row_tokens = _rounded_up(sum(self.row_lengths), tokens_step)
        self.width = _rounded_up(max(self.lengths, default=0), width_step)
        self.row_width = _rounded_up(max(self.row_lengths, default=0), width_step)
        self.prompt_slots = _slots(self.lengths, self.width, device)
        self.row_slots = _slots(self.row_lengths, self.row_width, device)
        self.group = torch.tensor(group, dtype=torch.long, device=device)  # (R,)
        starts = [self.lengths[g] for g in group]  # a row goes on where its prompt ends
        row_positions = [
            range(start, start + n) for start, n in zip(starts, self.row_lengths, strict=True)
        ]
        ids = _filled(prompts, self.n_prompt_tokens) + _filled(rows, self.n_row_tokens)
        positions = _filled(map(range, self.lengths), self.n_prompt_tokens)
        positions += _filled(row_positions, self.n_row_tokens)
        self.ids = torch.tensor([ids], dtype=torch.long, device=device)  # (1, N)
        self.positions = torch.tensor([positions], dtype=torch.long, device=device)  # (1, N)
        self.mask = self._mask(device)
        self.cache: dict[int, tuple[torch.Tensor, torch.Tensor]] | None = {} if keep else None

    def _mask(self, device) -> torch.Tensor:
        """(R, 1, T, P + T), True where a row's token sees its prompt's or its own token."""
        count, width, row_width = len(self.group), self.width, self.row_width
        lengths = torch.tensor(self.lengths, device=device)[self.group]
        prompt = torch.arange(width, device=device) < lengths[:, None]  # (R, P)
        causal = torch.ones(row_width, row_width, dtype=torch.bool, device=device).tril()
        prompt = prompt[:, None].expand(count, row_width, width)  # (R, T, P)
        return torch.cat([prompt, causal.expand(count, row_width, row_width)], 2)[:, None]

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
        (query, row_query), (key, row_key), (value, row_value) = (
            x.split(sizes, 2) for x in (query, key, value)
        )
        # Padding stands on the right, where no real token looks.
        shape = (len(self.lengths), self.width)
        query, key, value = (  # (G, H, P, D)
            to_blocks(x, self.prompt_slots, *shape) for x in (query, key, value)
        )
        if self.cache is not None:
            self.cache[layer] = (key, value)
        attended = self.dot_product(query, key, value, is_causal=True, **options)
        out = [from_blocks(attended, self.prompt_slots, self.n_prompt_tokens)]
        if self.rows:
            shape = (len(self.rows), self.row_width)
            row_query, row_key, row_value = (  # (R, H, T, D)
                to_blocks(x, self.row_slots, *shape) for x in (row_query, row_key, row_value)
            )
            key = torch.cat([key.index_select(0, self.group), row_key], 2)  # (R, H_kv, P + T, D)
            value = torch.cat([value.index_select(0, self.group), row_value], 2)
            attended = self.dot_product(row_query, key, value, attn_mask=self.mask, **options)
            out.append(from_blocks(attended, self.row_slots, self.n_row_tokens))
        return torch.cat(out)[None]
