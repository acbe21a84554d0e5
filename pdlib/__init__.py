"""PersonaDual workbook: two reasoning modes in one model, and DualGRPO to choose between them."""

import logging

__version__ = "0.1.0"

# On a CPU, bitsandbytes recommends at every import a package that fetches code; training in 4 bits
# works without it.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: "kernels-community" not in str(record.msg)
)
