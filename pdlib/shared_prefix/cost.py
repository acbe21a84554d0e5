"""The cost model: floating-point operations of a forward pass, with the prompt written out once a
row or once a group.

A backward pass costs twice the forward, and decoding token by token as much as one pass over the
same tokens, so the best possible ratio is one number for generation, training pass and whole step.
It counts matrix products only: what a step costs beside them (a call a layer and token, memory that
is moved) can be saved, too, and then more than the best ratio is measured.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """`prompts` distinct prompts of `prompt` tokens, each with `rollouts` completions of
    `completion` tokens.
    """

    model: str
    prompts: int
    prompt: int
    completion: int
    rollouts: int

    def __str__(self) -> str:
        return f"{self.model}, {self.prompts} x {self.prompt} + {self.rollouts} x {self.completion}"


def flops(config, tokens: float, pairs: float, scored: float) -> float:
    """Of a Llama- or Qwen3-shaped model (its transformers config): `tokens` through the layers,
    `pairs` of a query and a key that it sees, `scored` tokens through the language model head; a
    multiply-add is two.
    """
    hidden, head = (
        config.hidden_size,
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
    )
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    linear = (
        hidden * (queries + 2 * keys) + queries * hidden + 3 * hidden * config.intermediate_size
    )
    return 2 * (
        config.num_hidden_layers * (tokens * linear + 2 * pairs * queries)
        + scored * hidden * config.vocab_size
    )


def seen(before: int, own: int) -> float:
    """Pairs of `own` tokens in causal order, each of which sees `before` tokens, too."""
    return own * before + own * (own + 1) / 2


def forward(config, shape: Shape, shared: bool) -> float:
    """FLOPs of one pass over all completions and their prompts."""
    copies, completions = 1 if shared else shape.rollouts, shape.rollouts * shape.completion
    one = flops(
        config,
        copies * shape.prompt + completions,
        copies * seen(0, shape.prompt) + shape.rollouts * seen(shape.prompt, shape.completion),
        completions,
    )
    return shape.prompts * one


def best_ratio(config, shape: Shape) -> float:
    """How many times less work the shared pass is."""
    return forward(config, shape, shared=False) / forward(config, shape, shared=True)
