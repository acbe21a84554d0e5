"""Fixtures that several test files share."""

import multiprocessing
import os
import types
from importlib import metadata
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for the network
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pdlib.pocket.backbones import CHAT_TEMPLATE, build_backbone, build_tokenizer

ROOT = Path(__file__).resolve().parents[1]
# Starts processes of their own that need not import the library: it imports it once for all.
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["pdlib.systems"])
# Files of minutes with few tests.
LONG = (
    "test_workbook.py",
    "test_real_run.py",
    "test_pretrained.py",
    "test_training.py",
    "test_dualgrpo.py",
    "test_systems.py",
    "test_ledger.py",
)


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        # pytest-xdist would begin with the files of most tests and end with the longest ones
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """The longest files first, so that no process is left alone with one of them in the end."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def rounding(dtype: torch.dtype, size: float = 1.0, terms: int = 1) -> float:
    """How far rounding may set two ways apart that compute one number in `dtype`, on any processor:
    4 · √terms · eps · size.

    size: the largest absolute value on the way. terms: the additions and products on the way, see
    `summands` for a network's. A processor chooses the order of additions and may keep products
    unrounded. Each rounding errs by at most u = eps / 2 of what it rounds; n of them, which are
    unbiased, err together by more than λ · √n · u · size with a chance of at most 2 exp(-λ² / 2)
    [Higham and Mary 2019, SIAM J. Sci. Comput. 41(5)]. λ = 4 and two ways make the bound; a wrong
    term is off by its size, not by eps of it.

    >>> rounding(torch.float64, 1.0, 100) == 40 * 2 ** -52
    True
    """
    return 4 * terms**0.5 * torch.finfo(dtype).eps * size


def summands(config, tokens: int) -> int:
    """Additions on the way from an embedding to a logit in a model of `config` that attends to
    `tokens`: the `terms` of `rounding`.
    """
    heads = (
        config.hidden_size // config.num_attention_heads
        if getattr(config, "head_dim", None) is None
        else config.head_dim
    )
    # query or key, score, softmax, weighted sum, output, two norms; then up, down
    layer = (
        5 * config.hidden_size
        + heads
        + 2 * tokens
        + config.num_attention_heads * heads
        + config.intermediate_size
    )
    return config.num_hidden_layers * layer + 2 * config.hidden_size


def exact(model):
    """The model in 64 bits, norms included, which transformers would compute in 32; for argmax and
    samples that no rounding may change.
    """

    def norm(self, x):
        return (
            self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)
        )

    norms = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]
    assert norms, "these are not the models that this was written for"
    for module in norms:
        module.forward = types.MethodType(norm, module)
    return model.double()


def is_installed(package: str) -> bool:
    """Is a package there that `make weights` installs?"""
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="session")
def text_tokenizer():
    """A tokenizer that never heard of the mode tags: they are plain text of several tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        ["what is bond?", "in finance, bond is a tradable loan"],
        trainers.BpeTrainer(
            vocab_size=300,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
            special_tokens=["<|pad|>", "<|end|>"],
        ),
    )
    plain = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
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
        pytest.skip(
            "the slices of real rows are not here: no folder shared/data beside the repository"
        )
    return folder
