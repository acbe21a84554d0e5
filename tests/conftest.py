"""Fixtures that several test files share."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for the network
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pdlib.pocket.backbones import CHAT_TEMPLATE, build_backbone, build_tokenizer

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="session")
def text_tokenizer():
    """A tokenizer that never heard of the mode tags: they are plain text of several tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(["what is bond?", "in finance, bond is a tradable loan"], trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False,
        special_tokens=["<|pad|>", "<|end|>"],
    ))
    plain = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<|pad|>", eos_token="<|end|>", padding_side="left",
                                    clean_up_tokenization_spaces=False)
    plain.chat_template = CHAT_TEMPLATE
    return plain


@pytest.fixture(scope="session")
def tiny_model(tokenizer):
    return build_backbone("pocket-qwen3", tokenizer, 0).eval()


@pytest.fixture(scope="session")
def tiny_llama(tokenizer):
    return build_backbone("pocket-llama", tokenizer, 0).eval()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the slices of real rows are not here: no folder shared/data beside the repository")
    return folder
