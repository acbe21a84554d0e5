"""Generation: one prefill a distinct prompt, then all its rows (modes x seeds, or rollouts) decode
against its keys.
"""

from collections.abc import Sequence

import torch

from pdlib.shared_prefix.attention import NAME, Packed, rounds

COMPACT_BELOW = 0.75  # rows that ended are thrown out once fewer than this share is left
FIRST_ROOM = 32  # own tokens a row has room for at first; doubled when full


class Prefill:
    """Keys and values of B distinct prompts, and the logits (B, V) of what follows them, in
    float32.

    `after`: tokens put behind each prompt for `logits_after` (the mode's decision may come later
    than the first token); the rows never see them.
    """

    def __init__(self, model, prompts: Sequence[Sequence[int]], after: Sequence[int] = ()):
        packed = Packed(
            [[*prompt, *after] for prompt in prompts],
            [],
            [],
            model.device,
            keep=True,
            rounded=rounds(model),
        )
        ends = torch.tensor(packed.lengths).cumsum(0) - 1
        wanted = torch.cat([ends - len(after), ends]).to(model.device)
        logits = model(**packed.inputs(), logits_to_keep=wanted).logits[0].float()
        self.logits, self.logits_after = logits.split(len(prompts))
        self.kept = packed.kept
        self.lengths = torch.tensor(packed.lengths, device=model.device) - len(after)


class Rows:
    """R rows that decode in step: each one's own keys and values (R, H_kv, room, D) a layer, and
    its group's prompt.
    """

    def __init__(self, prefill: Prefill, group: torch.Tensor, max_tokens: int):
        self.prompts, self.lengths, self.max_tokens = (
            dict(prefill.kept),
            prefill.lengths,
            max_tokens,
        )
        self.own: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.step, self.nothing = 0, torch.ones(1, 1, 1, 1, dtype=torch.bool, device=group.device)
        self._place(group)

    def _place(self, group: torch.Tensor) -> None:
        """Drop prompts that no row needs; note where the rows stand among equally many slots a
        prompt.
        """
        used, self.group = group.unique(return_inverse=True)
        if len(used) < len(self.lengths):
            self.prompts = {layer: (k[used], v[used]) for layer, (k, v) in self.prompts.items()}
            self.lengths = self.lengths[used]
        counts, order = self.group.bincount(), self.group.argsort(stable=True)
        rank = torch.empty_like(order)
        rank[order] = (
            torch.arange(len(order), device=order.device)
            - (counts.cumsum(0) - counts)[self.group[order]]
        )
        self.n_slots = int(counts.max())
        slot = self.group * self.n_slots + rank
        whole = len(slot) == len(counts) * self.n_slots and bool(
            (slot == torch.arange(len(slot), device=slot.device)).all()
        )
        self.slot = None if whole else slot
        width = next(iter(self.prompts.values()))[0].shape[2]
        hidden = (
            torch.arange(width, device=group.device) >= self.lengths[self.group][:, None]
        )  # (R, P)
        self.hidden = hidden[:, None, None] if hidden.any() else None

    def keep(self, stays: torch.Tensor) -> None:
        """Let the other rows leave; `stays` (R,) is True for those that go on."""
        rows = stays.nonzero().squeeze(1)
        self.own = {
            layer: tuple(self._room(x, len(rows), x.shape[2], rows) for x in pair)
            for layer, pair in self.own.items()
        }
        self._place(self.group[rows])

    def _room(self, old: torch.Tensor, rows: int, room: int, chosen=slice(None)) -> torch.Tensor:
        new = old.new_empty(rows, old.shape[1], room, old.shape[3])
        new[:, :, : self.step] = old[chosen, :, : self.step]
        return new

    def _own(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write this step's keys and values in place; return the row's own ones so far, (R, H_kv,
        step + 1, D).
        """
        if layer not in self.own or self.own[layer][0].shape[2] == self.step:
            room = min(self.max_tokens, max(FIRST_ROOM, 2 * self.step))
            self.own[layer] = tuple(
                self._room(x, len(x), room) for x in self.own.get(layer, (key, value))
            )
        for buffer, new in zip(self.own[layer], (key, value)):
            buffer[:, :, self.step] = new[:, :, 0]
        return tuple(buffer[:, :, : self.step + 1] for buffer in self.own[layer])

    def _by_prompt(self, rows: torch.Tensor) -> torch.Tensor:
        """(R, H_kv, m, X) -> (B, H_kv, slots * m, X): all rows of a prompt side by side."""
        _, heads, m, width = rows.shape
        count = len(self.lengths)
        if self.slot is not None:
            rows = rows.new_zeros(count * self.n_slots, heads, m, width).index_copy_(
                0, self.slot, rows
            )
        return (
            rows.view(count, self.n_slots, heads, m, width)
            .transpose(1, 2)
            .reshape(count, heads, self.n_slots * m, width)
        )

    def _by_row(self, prompts: torch.Tensor, m: int) -> torch.Tensor:
        """The inverse of `_by_prompt`."""
        count, heads, _, width = prompts.shape
        rows = (
            prompts.view(count, heads, self.n_slots, m, width)
            .transpose(1, 2)
            .reshape(count * self.n_slots, heads, m, width)
        )
        return rows if self.slot is None else rows[self.slot]

    def attend(self, layer: int, query, key, value, scale: float, _dropout: float) -> torch.Tensor:
        """(R, H, 1, D) -> (R, 1, H, D): one softmax over [scores against the prompt | scores
        against the row's own keys].
        """
        rows, heads, _, dim = query.shape
        shared = key.shape[1]
        query = (query * scale).view(
            rows, shared, heads // shared, dim
        )  # the heads that share a key stand together
        (prompt_key, prompt_value), (own_key, own_value) = (
            self.prompts[layer],
            self._own(layer, key, value),
        )
        to_prompt = self._by_row(
            self._by_prompt(query) @ prompt_key.transpose(2, 3), heads // shared
        )  # (R, H_kv, m, P)
        if self.hidden is not None:
            to_prompt = to_prompt.masked_fill(self.hidden, -torch.inf)
        scores = torch.cat([to_prompt, query @ own_key.transpose(2, 3)], 3)
        weights = scores.softmax(3, dtype=torch.float32).to(value.dtype)
        width = to_prompt.shape[3]
        read = self._by_row(self._by_prompt(weights[..., :width]) @ prompt_value, heads // shared)
        return (read + weights[..., width:] @ own_value).reshape(rows, 1, heads, dim)

    def forward(self, model, token: torch.Tensor) -> torch.Tensor:
        """Feed each row its next token (R,); return the logits (R, V) that follow."""
        positions = (self.lengths[self.group] + self.step)[:, None]
        out = model(
            input_ids=token[:, None],
            position_ids=positions,
            attention_mask=self.nothing,
            use_cache=False,
            **{NAME: self},
        )
        self.step += 1
        return out.logits[:, -1]


def pick(logits: torch.Tensor, temperature: float, draw: torch.Tensor | None) -> torch.Tensor:
    """(R,) token of each row: the likeliest at temperature 0, else where the cumulated softmax
    passes `draw` (R,) in [0, 1).
    """
    if temperature == 0:
        return logits.argmax(1)
    chances = (logits.float() / temperature).softmax(1).cumsum(1)
    return (
        torch.searchsorted(chances, (draw * chances[:, -1])[:, None], right=True)
        .squeeze(1)
        .clamp(max=logits.shape[1] - 1)
    )


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
    """One completion a row: its forced tokens, then up to `max_new_tokens` sampled ones, the last
    perhaps an `eos`.

    group (R,): the row's place among the prefilled prompts; draws (R, max_new_tokens): uniform
    numbers, so that a row's text depends on no other row; None with temperature 0.
    """
    device = model.device
    lead = torch.tensor([len(ids) for ids in forced], device=device)  # (R,)
    width = int(lead.max()) + max_new_tokens
    text = torch.full((len(forced), width), -1, device=device)
    for row, ids in enumerate(forced):
        text[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
    if draws is not None:
        draws = draws.to(device)
    here, ends = torch.arange(len(forced), device=device), torch.tensor(list(eos), device=device)
    is_open, group = torch.ones_like(here, dtype=torch.bool), torch.tensor(group, device=device)
    rows, logits = Rows(prefill, group, width), prefill.logits[group]
    for at in range(width):
        drawn = (
            None if draws is None else draws[here, (at - lead[here]).clamp(0, max_new_tokens - 1)]
        )
        is_forced = at < lead[here]
        token = torch.where(is_forced, text[here, at], pick(logits, temperature, drawn))
        text[here, at] = token
        is_open &= (at + 1 < lead[here] + max_new_tokens) & (is_forced | ~torch.isin(token, ends))
        if not (left := int(is_open.sum())):
            break
        if left <= COMPACT_BELOW * len(here):
            rows.keep(is_open)
            here, token, is_open = here[is_open], token[is_open], is_open[is_open]
        logits = rows.forward(model, token)
    return [
        _ended(ids, start, start + max_new_tokens, set(eos))
        for ids, start in zip(text.tolist(), lead.tolist())
    ]


def _ended(ids: list[int], start: int, end: int, eos: set[int]) -> list[int]:
    """`ids` up to the first end-of-text token from `start` on, or to `end`: rows write on until
    they are thrown out.
    """
    return ids[: next((at + 1 for at in range(start, end) if ids[at] in eos), end)]
