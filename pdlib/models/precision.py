"""On which device a model computes, and in which precision."""

import torch

# Ours. One core of an Intel Xeon with AMX takes a training step of 4 layers in bfloat16 1.5 x as
# fast at this hidden size, 2.3 x at 512, and no faster at 128, which is the pocket models'.
WIDE = 256


def device() -> torch.device:
    """CUDA when there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def use_bf16(width: int, precision: str = "auto") -> bool:
    """Whether to compute in bfloat16; precision is the setting of that name.

    "auto" is bfloat16 where it pays: on GPUs that compute in it (a T4 or V100 only emulates it),
    and on CPUs with instructions for it (AMX, AVX512-bf16) where the model's hidden size `width` is
    WIDE at least. It is float32 elsewhere.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    has_instructions = bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return device().type == "cpu" and width >= WIDE and has_instructions


def describe_device(bf16: bool | None = None) -> str:
    """The device in words, with the precision where it is known."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    else:
        name = f"{torch.get_num_threads()} threads"
    words = f"device {device()} ({name})"
    if bf16 is None:
        return words
    return f"{words}, precision {'bfloat16' if bf16 else 'float32'}"
