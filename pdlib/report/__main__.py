"""`make reference`: refresh outputs/reference from a finished run.

Written are the minutes of any profile, and all else of the profiles pocket and pretrained, of the
latter in a folder of its own; then the table of three sizes, there, in README and in RESULTS.md.

--again: compute its ledger.json, headline.csv and form.csv anew from the records that it holds,
without a run.
"""

from pdlib import config
from pdlib.report import sizes_markdown
from pdlib.report.reference import refresh, rewrite_reference
from pdlib.run import committed
from pdlib.workbook import start


def main() -> None:
    """Refresh the reference as the command line says."""
    parser = config.command_line(__doc__.splitlines()[0])
    parser.add_argument(
        "--again", action="store_true", help="the numbers only, from the committed records"
    )
    arguments = parser.parse_args()
    cfg = config.from_arguments(arguments)
    folder = committed.FOLDERS.get(cfg.profile)
    if arguments.again:
        if folder is None:
            parser.error(
                f"--again: of {cfg.profile} no run is committed, "
                f"expected one of {', '.join(committed.FOLDERS)}"
            )
        rewrite_reference(folder)
        print(
            f"written: ledger.json, headline.csv and form.csv in {folder}; "
            "then: python -m pdlib.report.results"
        )
    else:
        if folder is not None:
            written = refresh(cfg, folder)
            print(f"written: {written.parent} ({written.stat().st_size // 1024} KiB of records)")
        if cfg.profile == "pocket":
            print(start.store_answers(cfg))
        print(start.store_minutes(cfg))
    print(f"written: {sizes_markdown.write().name}")


main()
