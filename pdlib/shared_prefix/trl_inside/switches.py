"""Two switches in TRL and Transformers: what TRL's fused head scores, how a model attends."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedConfig
from trl.trainer import utils


@contextmanager
def scoring_labels_only() -> Iterator[None]:
    """On a CPU, let TRL's fused head score labelled positions only, as it does on a GPU.

    Left alone it scores the prompt's positions, too, and drops what it computed there: two thirds
    of the work of a pocket SFT step's loss. The result is the same.
    """
    usual = utils._use_triton
    utils._use_triton = lambda device: device.type == "cpu" or usual(device)
    try:
        yield
    finally:
        utils._use_triton = usual


def attention_of(config: PreTrainedConfig) -> str:
    """The name of the attention by which a model of this config attends."""
    return config._attn_implementation


def attend_by(config: PreTrainedConfig, name: str) -> None:
    """Let the model of this config attend by another registered attention, from now on."""
    config._attn_implementation = name
