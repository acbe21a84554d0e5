"""The mode prefixes as tokens, and the token at which a model chooses between them."""

from pdlib.schema import Mode


def prefix_ids(tokenizer) -> dict[Mode, list[int]]:
    """[Eq. 3] Token ids of each mode's prefix (tag and newline), one or many tokens per mode.

    Raises ValueError when one prefix begins with the other, because the choice would have no token
    to be made at.
    """
    ids = {mode: tokenizer(mode.tag + "\n", add_special_tokens=False)["input_ids"] for mode in Mode}
    if decision_index(list(ids.values())) >= min(map(len, ids.values())):
        raise ValueError(f"the tokenizer gives the mode prefixes no token to differ at: {ids}")
    return ids


def decision_index(sequences: list[list[int]]) -> int:
    """The first position at which the token sequences differ: where the mode is chosen.

    >>> decision_index([[60, 1, 7], [60, 2, 7]])
    1
    """
    for index, column in enumerate(zip(*sequences, strict=False)):
        if len(set(column)) > 1:
            return index
    return min(map(len, sequences))


def choice_tokens(tokenizer) -> tuple[list[int], list[int]]:
    """The tokens at which a model chooses its mode: ([what comes before], [one token per mode]).

    The first list is what the prefixes of both modes begin with. The second holds the first token
    that tells them apart, for the general mode and for the personalised one [Eq. 1].
    """
    prefixes = prefix_ids(tokenizer)
    index = decision_index(list(prefixes.values()))
    return prefixes[Mode.GENERAL][:index], [ids[index] for ids in prefixes.values()]
