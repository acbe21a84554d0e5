"""One frozen config, `load("pocket", seed=1)`, in which every value carries its source.

Unknown settings raise.
"""

from pdlib.config.arguments import command_line, from_arguments
from pdlib.config.checks import accumulation
from pdlib.config.paths import (
    ROOT,
    file_name,
    is_gguf,
    is_local,
    is_packaged,
    local_path,
    run_name,
)
from pdlib.config.profiles import PROFILES, Config, listed, load, names
from pdlib.config.settings import CHOICES, MAY_BE_ZERO

__all__ = [
    "CHOICES",
    "Config",
    "MAY_BE_ZERO",
    "PROFILES",
    "ROOT",
    "accumulation",
    "command_line",
    "file_name",
    "from_arguments",
    "is_gguf",
    "is_local",
    "is_packaged",
    "listed",
    "load",
    "local_path",
    "names",
    "run_name",
]
