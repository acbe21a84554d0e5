"""PersonaDual workbook: two reasoning modes in one model, and DualGRPO to choose between them."""

__version__ = "0.1.0"
