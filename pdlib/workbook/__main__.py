"""`python -m pdlib.workbook` executes the notebooks, see `runner`."""

from pdlib.workbook.runner import main

main()
