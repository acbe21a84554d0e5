"""A model as a folder: saved whole, or a pointer to the hub or to another folder.

A refusal to read one (no network, no such model, a closed gate) says what replaces the model.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file, logging
from transformers.utils.hub import extract_commit_hash

from pdlib import config

logging.disable_progress_bar()  # a bar for every load would fill executed notebooks
POINTER = "model.json"


def check_folder(folder: Path | str) -> Path:
    """The folder, if it holds a whole saved model or a pointer to one.

    Otherwise a ValueError says what is missing.
    """
    folder = _existing(folder)
    if (folder / POINTER).is_file():
        name, _ = _source(folder)
        if config.is_local(name):
            check_folder(name)
        return folder
    files = ("config.json", "tokenizer.json", "tokenizer_config.json")
    missing = [name for name in files if not (folder / name).is_file()]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise ValueError(
            f"{folder} is not a saved model: {', '.join(missing)} missing; "
            "delete it and run its stage again"
        )
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as broken:
        raise ValueError(
            f"{folder}/config.json is not JSON ({broken}); "
            "delete the folder and run its stage again"
        ) from broken
    return folder


def _existing(folder: Path | str) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(
            f"no model at {folder}: the folder does not exist; run the stage {folder.name!r} "
            "that makes it first, or `make reproduce`, which runs all"
        )
    return folder


def _source(folder: Path | str) -> tuple[str, dict]:
    """What from_pretrained reads, and its keyword arguments: a pointer's target, else `folder`."""
    pointer = Path(folder) / POINTER
    if not pointer.is_file():
        return str(folder), {}
    target = json.loads(pointer.read_text(encoding="utf-8"))
    return target["name"], {"revision": target["revision"]} if target["revision"] else {}


def source_name(folder: Path | str) -> str:
    """The last part of the name that a saved or pointed-to model is read by."""
    return Path(_source(folder)[0]).name


def point(folder: Path, name: str) -> dict:
    """Make `folder` a pointer to a hub id, "org/name@revision", or a local folder.

    Nothing heavy is copied or loaded. Config and tokenizer are read, so that a model that cannot be
    had is refused now (ValueError) and not hours later. Returns {"model", "revision"}: the hub id
    or the local folder's own name; the resolved commit, None for a local folder.
    """
    if config.is_local(name):
        target, revision = str(check_folder(config.local_path(name))), None
        load_tokenizer(target)
    else:
        target, _, wanted = name.partition("@")
        with _reading(target):
            config_file = cached_file(target, "config.json", revision=wanted or None)
            revision = extract_commit_hash(config_file, None)
            AutoTokenizer.from_pretrained(target, revision=revision)
    folder.mkdir(parents=True, exist_ok=True)
    pointer = json.dumps({"name": target, "revision": revision})
    (folder / POINTER).write_text(pointer + "\n", encoding="utf-8")
    return {"model": config.run_name(target), "revision": revision}


def width_of(folder: Path | str) -> int:
    """The hidden size of a saved or pointed-to model, from its config."""
    name, revision = _source(check_folder(folder))
    with _reading(name):
        return AutoConfig.from_pretrained(name, **revision).get_text_config().hidden_size


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a saved or pointed-to model, padding on the left.

    ValueError where the folder does not exist.
    """
    name, revision = _source(_existing(folder))
    with _reading(name):
        tokenizer = AutoTokenizer.from_pretrained(name, **revision)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_weights(folder: Path | str, **options) -> PreTrainedModel:
    """A saved or pointed-to model, as from_pretrained reads it with `options`."""
    name, revision = _source(check_folder(folder))
    with _reading(name):
        return AutoModelForCausalLM.from_pretrained(
            name, use_safetensors=True, **revision, **options
        )


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn a refusal into one ValueError that says what replaces the model."""
    try:
        yield
    except OSError as refused:
        reason = str(refused).strip().splitlines()[0]
        raise ValueError(
            f'cannot read the model {name!r}: {reason} Expected a hub id (also "org/name@revision")'
            " that can be fetched or is in the cache, or a local folder. Either name a local folder"
            " in the setting `backbones`, as in SET='backbones=[/path/to/model]'; or fill the cache"
            f" where the hub can be reached: `hf download {name}` (a gated model needs `hf auth "
            "login` before; the cache lies in HF_HOME)"
        ) from refused
