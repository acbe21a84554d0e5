"""The pocket tokenizer and backbones, built from a config with random weights.

The run trains them.
"""

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    set_seed,
)

from pdlib import modes
from pdlib.pocket.expert import plain, write
from pdlib.pocket.lexicon import lexicon
from pdlib.pocket.world import BENCHMARKS, World
from pdlib.schema import PAPER_MODES, Mode

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role not in ['user', 'assistant'] -%}"
    "{{ raise_exception('the pocket template knows the roles user and assistant, found: ' "
    "+ message.role) }}"
    "{%- endif -%}"
    "{{ '<|' + message.role + '|>' + message.content }}"
    "{% if message.role == 'assistant' %}<|end|>{% endif %}"
    "{%- endfor -%}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NAMES = {
    "pocket-qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "pocket-llama": (LlamaConfig, LlamaForCausalLM),
}
# five times the usual 0.02, which learned far more slowly at this width in the few runs tried
INIT_STD = 0.1
# Fixed strings of the prompt and answer format, one token each: a laptop's minutes go to words, not
# to boilerplate.
BOILERPLATE = [
    "I am ",
    ", my question is:\n",
    modes.CHOICE_INSTRUCTION,
    modes.FREE_INSTRUCTION,
    '\n\n<answer>{"answer": "',
    '"}</answer>',
]


def build_tokenizer(seed: int = 0) -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on text of the pocket world.

    It encodes any text and decodes it unchanged.
    """
    world, texts = World(seed, "train"), []
    for benchmark in BENCHMARKS:
        for _ in range(600):
            item = world.item(benchmark)
            texts.append(modes.user_message(item, item.aligned))
            texts.append(modes.completion_text(None, plain(item, item.aligned), item.gold))
            texts.append(write(item, Mode.PERSONALIZED, item.aligned)[0])
            texts.append(write(item, Mode.GENERAL, None)[0])
    lex = lexicon()
    for senses in lex.words.values():
        for glosses in senses.values():
            texts += glosses
    for cues in lex.cues.values():
        texts += [f" {cue}" for cue in cues]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1400,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"],
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    fixed = BOILERPLATE + [mode.tag + "\n" for mode in PAPER_MODES]
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in fixed])
    return tokenizer


def build_backbone(
    name: str, tokenizer: PreTrainedTokenizerFast, seed: int, width: int = 128, layers: int = 4
) -> PreTrainedModel:
    """An untrained `pocket-qwen3` or `pocket-llama` of 1-3 M parameters.

    Keys start equal to queries, so that attention looks for the same word from the first step on
    ("mimetic initialisation", Trockman & Kolter 2023): whether a persona's word is the question's
    was then learned sooner (one run each).
    """
    if name not in NAMES:
        raise ValueError(f"unknown pocket backbone {name!r}, expected one of {list(NAMES)}")
    config_class, model_class = NAMES[name]
    set_seed(seed)
    model_config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=width // 4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=INIT_STD,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = model_class(model_config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)
    return model
