"""Models as folders: load and save, whole or with LoRA, on the device and in the precision chosen.

A folder holds a saved model or a pointer to the hub.
"""

from pdlib.models.adapters import add_mode_tokens, give_head_a_bias, lora, train_in_32_bits
from pdlib.models.folders import check_folder, load_tokenizer, point, width_of
from pdlib.models.loading import load, load_for_training
from pdlib.models.precision import WIDE, describe_device, device, use_bf16
from pdlib.models.saving import save, save_merged

__all__ = [
    "WIDE",
    "add_mode_tokens",
    "check_folder",
    "describe_device",
    "device",
    "give_head_a_bias",
    "load",
    "load_for_training",
    "load_tokenizer",
    "lora",
    "point",
    "save",
    "save_merged",
    "train_in_32_bits",
    "use_bf16",
    "width_of",
]
