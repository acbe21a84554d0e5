"""The mode prefixes as tokens, and the tokens at which a model chooses between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pdlib.schema import PAPER_MODES, Mode, ModeSet


@dataclass(frozen=True)
class Fork:
    """A place where prefixes part. Two modes have one fork, M modes at most M - 1.

    before: the tokens that lead there. tokens: the next ones, of which the model chooses one.
    branches: per such token the indices of the modes that go on with it.
    """

    before: tuple[int, ...]
    tokens: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]


def prefix_ids(tokenizer, modes: ModeSet = PAPER_MODES) -> dict[Mode, list[int]]:
    """[Eq. 3] Token ids of each mode's prefix (tag and newline), one or many tokens per mode.

    Raises ValueError when one prefix begins with another, because that choice would have no token
    to be made at.
    """
    ids = {mode: tag_ids(tokenizer, mode) for mode in modes}
    for one, short in ids.items():
        for other, long in ids.items():
            if one is not other and long[: len(short)] == short:
                raise ValueError(
                    f"the tokenizer gives the mode prefixes no token to differ at: that of {one} "
                    f"is {short}, that of {other} is {long}"
                )
    return ids


def tag_ids(tokenizer, mode: Mode) -> list[int]:
    """Token ids of one mode's prefix, its tag and a newline."""
    return tokenizer(mode.tag + "\n", add_special_tokens=False)["input_ids"]


def forks(prefixes: Sequence[Sequence[int]]) -> list[Fork]:
    """The places where token sequences part, from the first token on.

    prefixes: one sequence per mode, none of which begins with another.

    >>> [fork.tokens for fork in forks([[60, 1, 7], [60, 2, 7], [60, 2, 8, 9]])]
    [(1, 2), (7, 8)]
    """
    return list(_forks(prefixes, tuple(range(len(prefixes))), 0))


def _forks(prefixes: Sequence[Sequence[int]], modes: tuple[int, ...], start: int) -> Iterator[Fork]:
    """The forks of these modes, which agree up to position `start`."""
    position = start
    while True:
        by_token: dict[int, list[int]] = {}
        for mode in modes:
            by_token.setdefault(prefixes[mode][position], []).append(mode)
        if len(by_token) > 1:
            break
        position += 1
    branches = tuple(map(tuple, by_token.values()))
    yield Fork(tuple(prefixes[modes[0]][:position]), tuple(by_token), branches)
    for branch in branches:
        if len(branch) > 1:
            yield from _forks(prefixes, branch, position + 1)


def choice_tokens(tokenizer) -> tuple[list[int], list[int]]:
    """The tokens at which a model chooses its mode: ([what comes before], [one token per mode]).

    The first list is what the prefixes of both modes begin with. The second holds the first token
    that tells them apart, for the general mode and for the personalised one [Eq. 1].
    """
    (fork,) = forks(list(prefix_ids(tokenizer).values()))
    return list(fork.before), list(fork.tokens)
