"""The table of three sizes: what it takes from where, when a claim holds, and that the committed
one is that of the committed results.
"""

import pandas as pd
import pytest

from pdlib import paper
from pdlib.report import sizes, sizes_markdown
from pdlib.run.stages import REFERENCE, ROOT

CHANGE, TIE = sizes.Claim("", {}, ""), sizes.Claim("", {}, "", tie=True)
NUMBERS = ["ours", "ci_low", "ci_high"]


@pytest.mark.parametrize(
    ("claim", "said", "low", "high", "expected"),
    [
        (CHANGE, 0.02, 0.001, 0.03, sizes.HOLDS),
        (CHANGE, 0.02, -0.001, 0.03, sizes.OPEN),
        (CHANGE, 0.02, -0.03, -0.001, sizes.FAILS),
        (CHANGE, -0.05, -0.09, -0.01, sizes.HOLDS),
        (CHANGE, -0.05, 0.01, 0.09, sizes.FAILS),
        (TIE, -0.007, -0.019, 0.3, sizes.HOLDS),
        (TIE, -0.007, -0.021, 0.3, sizes.OPEN),
        (TIE, -0.007, -0.3, -0.021, sizes.FAILS),
    ],
)
def test_a_claim_holds_by_its_interval(claim, said, low, high, expected):
    assert sizes.verdict(claim, said, low, high) == expected


def place(folder, **files):
    """A folder of committed results: file name -> rows."""
    for name, rows in files.items():
        path = folder / f"{name.replace('__', '/')}.csv"
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False)
    return folder


def test_numbers_come_from_several_backbones_or_from_likelihood_where_there_are_such(
    tmp_path,
):
    harm, fit, gain = sizes.CLAIMS[0], sizes.CLAIMS[4], sizes.CLAIMS[2]
    reference = place(
        tmp_path,
        headline=[
            dict(zip(["claim", *NUMBERS], row, strict=True))
            for row in ((harm.headline, -0.5, -0.6, -0.4), (gain.headline, 0.5, 0.4, 0.6))
        ],
        replication=[
            {
                "world": world,
                "measure": harm.replicated[0],
                "block": harm.replicated[1],
                "mean": mean,
                "ci_low": mean - 0.1,
                "ci_high": mean + 0.1,
            }
            for world, mean in (("field", -0.2), ("word", -0.3))
        ],
        pretrained__headline=[
            dict(zip(["claim", *NUMBERS], row, strict=True))
            for row in ((harm.headline, 0, 0, 0), (fit.headline, 0.04, 0.01, 0.07))
        ],
        pretrained__interference=[
            {
                "run": "SmolLM2",
                "answers": answers,
                "claim": harm.likelihood[0],
                "mean": mean,
                "ci_low": mean - 0.01,
                "ci_high": mean + 0.02,
            }
            for answers, mean in ((sizes.LIKELIHOOD, 0.05), ("another way", -0.05))
        ],
    )
    found = sizes.claim_table(reference).set_index("claim")
    assert (
        found.loc[harm.text, "pocket_ours"] == -0.2
        and found.loc[harm.text, "pocket_from"] == "replication.csv"
    )
    assert (
        found.loc[harm.text, "pretrained_ours"] == -0.05
        and found.loc[harm.text, "pretrained_from"] == "interference.csv"
    )
    assert found.loc[gain.text, ["pocket_verdict", "pretrained_verdict"]].tolist() == [
        sizes.HOLDS,
        sizes.NOT_RUN,
    ]
    assert found.loc[fit.text, ["pocket_verdict", "pretrained_verdict"]].tolist() == [
        sizes.NOT_RUN,
        sizes.HOLDS,
    ]
    told = sizes_markdown.together(found.reset_index())
    assert told["At both of our sizes these hold"] == [harm.text]
    assert told["These hold at the one size that was run"] == [gain.text, fit.text]
    assert f"- *At both of our sizes these hold:* {harm.text}.\n" in sizes_markdown.markdown(
        found.reset_index()
    )
    assert (
        f"| {harm.text} | -5.5 | holds: -5.0 (-7.0 to -4.0) | holds: -20.0 (-30.0 to -10.0) |"
        in sizes_markdown.markdown(found.reset_index())
    )


def test_every_claim_has_the_papers_number_with_the_sign_of_its_words():
    known = {number.id for number in paper.numbers()}
    assert all(set(claim.paper) <= known for claim in sizes.CLAIMS)
    found = sizes.claim_table().set_index("claim").paper
    assert (
        found[
            [claim.text for claim in sizes.CLAIMS if "better" in claim.text or "gain" in claim.text]
        ]
        > 0
    ).all()
    assert (found[[claim.text for claim in sizes.CLAIMS if "costs" in claim.text]] < 0).all()


def test_a_page_needs_a_place_for_the_table():
    with pytest.raises(ValueError, match="expected one table .*, found 0"):
        sizes_markdown.replaced("text", "table")
    for old in ("", "\n\n- *At both of our sizes these hold:* a.\n- *These fail at both:* b."):
        before = f"text\n\n{sizes_markdown.HEADER} x |\n|---|\n| old | 1 |{old}\n\nmore | text\n"
        assert sizes_markdown.replaced(before, "new") == "text\n\nnew\n\nmore | text\n"


def test_the_committed_table_is_that_of_the_committed_results():
    found = sizes.claim_table()
    stored = pd.read_csv(REFERENCE / sizes_markdown.FILE)
    pd.testing.assert_frame_equal(stored, found.round(6).replace("", None), check_dtype=False)
    for page, cited in (("README.md", False), ("RESULTS.md", True)):
        assert sizes_markdown.markdown(found, cited) in (ROOT / page).read_text(encoding="utf-8"), (
            f"{page}: run `make reference`"
        )
