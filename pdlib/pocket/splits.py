"""What of the pocket world is trained on, validated on and tested on, by hash of the text."""

import hashlib

# What may be withheld from SFT, RL and validation questions, though backbones read it and test
# items ask it: is it memorised? A tenth of the words and units, one of two occupations in four
# fields; none of them occurs in a gloss, cue or template.
HELD_OUT_WORDS = ("chord", "crew", "draft", "pulse", "suit", "yield", "quarter")
HELD_OUT_PROFESSIONS = ("composer", "skipper", "nurse", "referee")
SPLITS = {"train": (0, 70), "validation": (70, 80), "test": (80, 100)}  # of 100 hash buckets
# the split of `make sealed`: half of what would be the test split, chosen by a hash with a salt of
# its own
SEALED = "sealed"
SEALED_SALT = "sealed-1"  # a new salt makes a fresh sealed split


def stable_hash(text: str) -> int:
    """A large number that follows from the text, the same in every run."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def split_of(word: str, cue: str | None, template: str, held_out: bool) -> str:
    """The split that owns every item with this word, cue and template, whatever the persona."""
    key = f"{word}|{cue}|{template}"
    bucket = stable_hash(key) % 100
    owners = [split for split, (low, high) in SPLITS.items() if low <= bucket < high]
    split = "test" if held_out else owners[0]
    is_sealed = split == "test" and stable_hash(f"{SEALED_SALT}|{key}") % 100 < 50
    return SEALED if is_sealed else split


def is_held_out_persona(occupation: str, hobby: str, style: str) -> bool:
    """Whether a persona is of the fifth of all combinations that never occur in training."""
    return stable_hash(f"{occupation}|{hobby}|{style}") % 5 == 0
