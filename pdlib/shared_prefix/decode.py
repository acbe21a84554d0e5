"""Generation: one prefill per distinct prompt, against whose keys all its rows decode.

A prompt's rows are its modes x seeds in evaluation, its rollouts in training.
"""

from collections.abc import Collection, Sequence

import torch

from pdlib.shared_prefix.attention import NAME, computes_in_bf16_on_cpu
from pdlib.shared_prefix.packed import Packed

COMPACT_BELOW = 0.75  # rows that ended are thrown out once fewer than this share is left
FIRST_ROOM = 32  # own tokens a row has room for at first; doubled when full


class Prefill:
    """Keys and values of B distinct prompts, and the logits (B, V) of what follows them.

    Logits are in float32. `after`: tokens put behind each prompt for `logits_after` (the mode's
    decision may come later than the first token); the rows never see them.
    """

    def __init__(self, model, prompts: Sequence[Sequence[int]], after: Sequence[int] = ()):
        packed = Packed(
            [[*prompt, *after] for prompt in prompts],
            [],
            [],
            model.device,
            keep=True,
            rounded=computes_in_bf16_on_cpu(model),
        )
        ends = torch.tensor(packed.lengths).cumsum(0) - 1
        scored = torch.cat([ends - len(after), ends]).to(model.device)  # (2 B,)
        logits = model(**packed.inputs(), logits_to_keep=scored).logits[0].float()  # (2 B, V)
        self.logits, self.logits_after = logits.split(len(prompts))
        self.cache = packed.cache
        self.lengths = torch.tensor(packed.lengths, device=model.device) - len(after)


class Rows:
    """R rows that decode in step.

    Each has keys and values of its own, (R, H_kv, room, D) per layer, and its group's prompt.
    """

    def __init__(self, prefill: Prefill, group: torch.Tensor, max_tokens: int):
        self.prompts, self.lengths = dict(prefill.cache), prefill.lengths
        self.max_tokens = max_tokens
        self.row_cache: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.step = 0
        # A mask that masks nothing: (1, 1, 1, 1).
        self.no_mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=group.device)
        self._arrange(group)

    def _arrange(self, group: torch.Tensor) -> None:
        """Drop prompts that no row needs; note the rows' slots, equally many per prompt."""
        used, self.group = group.unique(return_inverse=True)  # group: (R,)
        if len(used) < len(self.lengths):
            self.prompts = {layer: (k[used], v[used]) for layer, (k, v) in self.prompts.items()}
            self.lengths = self.lengths[used]
        counts, order = self.group.bincount(), self.group.argsort(stable=True)
        firsts = (counts.cumsum(0) - counts)[self.group[order]]
        rank = torch.empty_like(order)  # of each row among its prompt's
        rank[order] = torch.arange(len(order), device=order.device) - firsts
        self.n_slots = int(counts.max())
        slot = self.group * self.n_slots + rank  # (R,)
        every_slot = torch.arange(len(counts) * self.n_slots, device=slot.device)
        self.slot = None if torch.equal(slot, every_slot) else slot
        width = next(iter(self.prompts.values()))[0].shape[2]
        positions = torch.arange(width, device=group.device)
        is_padding = positions >= self.lengths[self.group][:, None]  # (R, P)
        self.is_padding = is_padding[:, None, None] if is_padding.any() else None

    def keep(self, stays: torch.Tensor) -> None:
        """Let the other rows leave; `stays` (R,) is True for those that go on."""
        rows = stays.nonzero().squeeze(1)
        self.row_cache = {
            layer: tuple(self._room(x, len(rows), x.shape[2], rows) for x in pair)
            for layer, pair in self.row_cache.items()
        }
        self._arrange(self.group[rows])

    def _room(self, old: torch.Tensor, rows: int, room: int, chosen=slice(None)) -> torch.Tensor:
        new = old.new_empty(rows, old.shape[1], room, old.shape[3])
        new[:, :, : self.step] = old[chosen, :, : self.step]
        return new

    def _append(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write this step's keys and values in place.

        Returns the row's own ones so far, (R, H_kv, step + 1, D).
        """
        if layer not in self.row_cache or self.row_cache[layer][0].shape[2] == self.step:
            room = min(self.max_tokens, max(FIRST_ROOM, 2 * self.step))
            before = self.row_cache.get(layer, (key, value))
            self.row_cache[layer] = tuple(self._room(x, len(x), room) for x in before)
        for buffer, new in zip(self.row_cache[layer], (key, value), strict=True):
            buffer[:, :, self.step] = new[:, :, 0]
        return tuple(buffer[:, :, : self.step + 1] for buffer in self.row_cache[layer])

    def _by_prompt(self, rows: torch.Tensor) -> torch.Tensor:
        """(R, H_kv, m, X) -> (B, H_kv, slots * m, X): all rows of a prompt side by side."""
        _, heads, m, width = rows.shape
        count = len(self.lengths)
        if self.slot is not None:
            empty = rows.new_zeros(count * self.n_slots, heads, m, width)
            rows = empty.index_copy_(0, self.slot, rows)
        by_prompt = rows.view(count, self.n_slots, heads, m, width).transpose(1, 2)
        return by_prompt.reshape(count, heads, self.n_slots * m, width)

    def _by_row(self, prompts: torch.Tensor, m: int) -> torch.Tensor:
        """The inverse of `_by_prompt`."""
        count, heads, _, width = prompts.shape
        by_slot = prompts.view(count, heads, self.n_slots, m, width).transpose(1, 2)
        rows = by_slot.reshape(count * self.n_slots, heads, m, width)
        return rows if self.slot is None else rows[self.slot]

    def attend(self, layer: int, query, key, value, scale: float, _dropout: float) -> torch.Tensor:
        """(R, H, 1, D) -> (R, 1, H, D).

        One softmax goes over [scores against the prompt | scores against the row's own keys].
        """
        rows, heads, _, dim = query.shape
        shared = key.shape[1]  # H_kv
        m = heads // shared  # heads that share a key stand together
        query = (query * scale).view(rows, shared, m, dim)
        prompt_key, prompt_value = self.prompts[layer]
        own_key, own_value = self._append(layer, key, value)
        to_prompt = self._by_row(self._by_prompt(query) @ prompt_key.transpose(2, 3), m)
        if self.is_padding is not None:
            to_prompt = to_prompt.masked_fill(self.is_padding, -torch.inf)  # (R, H_kv, m, P)
        scores = torch.cat([to_prompt, query @ own_key.transpose(2, 3)], 3)
        weights = scores.softmax(3, dtype=torch.float32).to(value.dtype)
        width = to_prompt.shape[3]
        read = self._by_row(self._by_prompt(weights[..., :width]) @ prompt_value, m)
        return (read + weights[..., width:] @ own_value).reshape(rows, 1, heads, dim)

    def forward(self, model, token: torch.Tensor) -> torch.Tensor:
        """Feed each row its next token (R,); return the logits (R, V) that follow."""
        positions = (self.lengths[self.group] + self.step)[:, None]  # (R, 1)
        out = model(
            input_ids=token[:, None],
            position_ids=positions,
            attention_mask=self.no_mask,
            use_cache=False,
            **{NAME: self},
        )
        self.step += 1
        return out.logits[:, -1]


def pick(logits: torch.Tensor, temperature: float, draw: torch.Tensor | None) -> torch.Tensor:
    """(R,) token of each row: the likeliest at temperature 0, else a sampled one.

    It is sampled where the cumulated softmax passes `draw` (R,) in [0, 1).
    """
    if temperature == 0:
        return logits.argmax(1)
    cumulated = (logits.float() / temperature).softmax(1).cumsum(1)  # (R, V)
    reached = (draw * cumulated[:, -1])[:, None]
    token = torch.searchsorted(cumulated, reached, right=True).squeeze(1)
    return token.clamp(max=logits.shape[1] - 1)


def sample(
    model,
    prefill: Prefill,
    group: Sequence[int],
    forced: Sequence[Sequence[int]],
    *,
    draws: torch.Tensor | None,
    temperature: float,
    max_new_tokens: int,
    eos: Sequence[int],
) -> list[list[int]]:
    """One completion per row: its forced tokens, then up to `max_new_tokens` sampled ones.

    The last token is perhaps an `eos`. group (R,): the row's index among the prefilled prompts;
    draws (R, max_new_tokens): uniform numbers, so that a row's text depends on no other row; None
    with temperature 0. RuntimeError where logits are NaN.
    """
    device = model.device
    lead = torch.tensor([len(ids) for ids in forced], device=device)  # (R,)
    width = int(lead.max()) + max_new_tokens
    text = torch.full((len(forced), width), -1, device=device)  # (R, T)
    for row, ids in enumerate(forced):
        text[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
    if draws is not None:
        draws = draws.to(device)
    ends = torch.tensor(list(eos), device=device)
    group = torch.tensor(group, device=device)
    index = torch.arange(len(forced), device=device)  # of the rows that have not left
    is_open = torch.ones_like(index, dtype=torch.bool)
    rows, logits = Rows(prefill, group, width), prefill.logits[group]  # (R, V)
    # A state that is no number makes all its logits so: one of each row tells. It is looked at in
    # the end, since each look makes a GPU wait.
    is_sound = ~logits[:, 0].isnan().any()
    for step in range(width):
        draw = None
        if draws is not None:
            draw = draws[index, (step - lead[index]).clamp(0, max_new_tokens - 1)]
        is_forced = step < lead[index]
        token = torch.where(is_forced, text[index, step], pick(logits, temperature, draw))
        text[index, step] = token
        has_room = step + 1 < lead[index] + max_new_tokens
        is_open &= has_room & (is_forced | ~torch.isin(token, ends))
        n_open = int(is_open.sum())
        if not n_open:
            break
        if n_open <= COMPACT_BELOW * len(index):
            rows.keep(is_open)
            index, token, is_open = index[is_open], token[is_open], is_open[is_open]
        logits = rows.forward(model, token)
        is_sound &= ~logits[:, 0].isnan().any()
    if not is_sound:
        raise RuntimeError(
            "the model's logits are NaN: no token can be chosen; its weights or activations left "
            "the range of its precision (look at the training log, or set precision=float32)"
        )
    return [
        up_to_end(ids[: start + max_new_tokens], eos, start)
        for ids, start in zip(text.tolist(), lead.tolist(), strict=True)
    ]


def up_to_end(ids: list[int], ends: Collection[int], start: int = 0) -> list[int]:
    """`ids` up to the first end token from `start` on: rows write on until they are thrown out.

    >>> up_to_end([7, 3, 7, 9], ends=[7], start=1)
    [7, 3, 7]
    """
    for index in range(start, len(ids)):
        if ids[index] in ends:
            return ids[: index + 1]
    return ids
