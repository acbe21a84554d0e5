"""The workbook: notebooks are executed here, and what they show beside figures is made here."""
