"""`python -m pdlib.train --task task.json` trains what a notebook asked for, under `accelerate
launch`.
"""

from pdlib.train.methods import main

main()
