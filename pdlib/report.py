"""The ledger (each number of the paper beside ours) and report.html, from records alone."""

import base64
import html
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import paper, stages, stats

NEEDED = set("run model kind benchmark item_id condition forced seed train_seed turn mode correct".split())
OBJECTIVE = ("pubmedqa", "triviaqa", "mmlu_pro", "supergpqa", "math500")
PERSONALIZED = ("personafeedback", "fspo_roleplay")
COLUMNS = {  # a column of the paper, less its condition -> the benchmarks it averages
    "PubMedQA": ("pubmedqa",), "TriviaQA": ("triviaqa",), "MMLU-Pro": ("mmlu_pro",), "SuperGPQA": ("supergpqa",),
    "MATH500": ("math500",), "P.FB.": ("personafeedback",), "F.RP.": ("fspo_roleplay",), "Avg.": OBJECTIVE,
    "Personalized Avg.": PERSONALIZED, "personalised share": OBJECTIVE}
LLAMA = "pocket-llama"  # the run that stands for the paper's second backbone
SYSTEMS = {  # a row of Tables 1, 2, 9 or Fig. 3b -> the records' `model`, answering freely
    "Qwen3-8B-Instruct": "backbone", "Llama3.1-8B-Instruct": "backbone", "LLaMA3.1-8B-Instruct": "backbone", "CoT": "cot",
    "G-SFT-RL": "g_sft_rl", "Personal-Prompt": "personal_prompt", "P-SFT-RL": "p_sft_rl", "ALIGNXPERT-ICA": "alignxpert_ica",
    "ALIGNXPERT-PBA": "alignxpert_pba", "PersonaDual-Prompt": "personadual_prompt", "PersonaDual-Router": "personadual_router",
    "PersonaDual": "personadual", "No-Persona Upperbound": "personadual", "PersonaDual-SFT": "sft_only",
    "w/o DualAdv": "no_dual_advantage", "w/o DualAdv + PfxSmp": "no_dual_advantage_no_prefix_sampling"}
TABLE_8 = {"PersonaDual-general": "general", "PersonaDual-personal": "personalized", "PersonaDual": "none",
           "PersonaDual Upperbound": "either"}  # row -> forced
DIALOGUES = "needs two-turn dialogues, which are not evaluated"
NOT_ASKED = {  # artefacts that are no query on these records
    "table3": DIALOGUES, "multi_turn": DIALOGUES, "table4": "needs the paper's own model, which is not evaluated",
    "table5": "a count of the paper's own training examples, not a result to measure again",
    "figure1": "derived from Table 4 (mean of two models, minus no persona); needs those models, which are not evaluated"}
LEDGER_HEAD = ["artefact", "row", "column", "paper", "ours", "95 % interval", "items", "seeds", "status", "note"]
NOTHING = {"ours": None, "ci_low": None, "ci_high": None, "n": None, "seeds": 0}


def _scaled(run: str) -> str:
    pocket = "pocket twin of the benchmark and a pocket backbone: shows the mechanism, not the paper's level"
    real = "items, seeds and training are not checked against the paper's, so no reproduction is claimed"
    return f"run {run}, {pocket if run.startswith('pocket') else real}"


def _either(records: pd.DataFrame) -> pd.DataFrame:
    """One row an item, condition and run: right in at least one of the two forced modes; only those asked in both."""
    forced = records[records.forced != "none"]
    found = forced.groupby(["benchmark", "item_id", "condition", "seed", "train_seed"]).agg(
        correct=("correct", "max"), modes=("forced", "nunique"))
    return found[found.modes == 2].reset_index()


def _query(number: paper.Number, backbone_run: str) -> tuple[str, str, str] | str:
    """(run, model, forced) that answers `number`, or the reason why no records can."""
    if number.artefact in NOT_ASKED:
        return NOT_ASKED[number.artefact]
    llama = number.artefact == "table9" or number.row == "Llama3.1-8B-Instruct"
    if backbone_run == LLAMA and not llama:
        return f"a row of the paper's Qwen3 backbone; the ledger was asked for run {LLAMA}"
    run = LLAMA if llama else backbone_run
    if number.artefact == "table8":
        return run, "personadual", TABLE_8[number.row]
    return run, SYSTEMS[number.row], "none"


def _ours(number: paper.Number, query: tuple[str, str, str], sides: dict, cache: dict) -> dict | str:
    """{ours, ci_low, ci_high, n, seeds} for `number`, or what its records lack; every benchmark of the column is needed."""
    run, model, forced = query
    asked = {"none": "answering freely", "either": "forced into both modes"}.get(forced, f"forced into {forced} mode")
    if query not in sides:
        return f"no records of model {model} in run {run}, {asked}"
    name, condition = number.column.rsplit(" ", 1)
    side = sides[query]
    part = side[side.benchmark.isin(COLUMNS[name]) & (side.condition == condition)]
    if missing := [benchmark for benchmark in COLUMNS[name] if benchmark not in set(part.benchmark)]:
        return f"no records of model {model} in run {run}, {asked}, persona {condition}, on {', '.join(missing)}"
    value = "personalized" if number.artefact == "figure3b" else "correct"
    key = (query, name, condition, value)
    if key not in cache:
        found = stats.mean_interval(part, value)
        cache[key] = {"ours": found.pop("mean")} | found | {"seeds": int(part.train_seed.nunique())}
    return cache[key]


def _first_turns(records: pd.DataFrame, backbone_run: str) -> pd.DataFrame:
    """The answers of first turns, with `personalized` (answered in that mode?); ValueError when they cannot be used."""
    if records.empty:
        raise ValueError("the records are empty; run `make reproduce`, or evaluate.run_records for each model")
    if missing := NEEDED - set(records.columns):
        raise ValueError(f"the records lack the columns {sorted(missing)}, found {sorted(records.columns)}; read them with "
                         "evaluate.read_records, or evaluate again")
    first = records[records.turn == 1]
    if not (first.run == backbone_run).any():
        raise ValueError(f"no single-turn records of run {backbone_run!r}, found runs {sorted(records.run.unique())}; name one "
                         "of these, or evaluate it first")
    return first.assign(personalized=(first["mode"] == "personalized").astype(float))


def ledger(records: pd.DataFrame, backbone_run: str) -> list[dict]:
    """One entry for each of `paper.numbers()`: {id, artefact, row, column, paper, ours, ci_low, ci_high, n, seeds, status, note}.

    ours: from first turns of `backbone_run`, and of "pocket-llama" where the paper's backbone is Llama; n: items;
    seeds: training seeds. A number without records has ours None, seeds 0, status "not attempted" and the reason in note.
    Raises ValueError when the records are empty, lack a column or hold nothing of `backbone_run`.
    """
    first = _first_turns(records, backbone_run)
    sides = dict(list(first[first.run.isin([backbone_run, LLAMA])].groupby(["run", "model", "forced"])))
    both = _either(first[(first.run == backbone_run) & (first.model == "personadual")])
    sides |= {} if both.empty else {(backbone_run, "personadual", "either"): both}
    entries, cache = [], {}
    for number in paper.numbers():
        query = _query(number, backbone_run)
        found = query if isinstance(query, str) else _ours(number, query, sides, cache)
        if isinstance(found, str):
            ours, status, note = NOTHING, "not attempted", found
        else:
            ours, status, note = found, "scaled-down", _scaled(query[0])
        entries.append({"id": number.id, "artefact": number.artefact, "row": number.row, "column": number.column,
                        "paper": number.value} | ours | {"status": status, "note": note})
    return entries


def _three_columns(new: list[pd.DataFrame], old: list[pd.DataFrame]) -> dict:
    """new minus old, mean of the blocks (each weighs alike), with an interval over items: {mean, ci_low, ci_high, n}.

    An item of two blocks is resampled as one; the weights undo that `stats.mean_interval` weighs benchmarks alike.
    """
    total = len(set().union(*(side.benchmark for side in new)))
    parts = [sign * side.groupby(["benchmark", "item_id", "train_seed"]).correct.mean() * total / (len(new) * side.benchmark.nunique())
             for sign, sides in ((1, new), (-1, old)) for side in sides]
    items = pd.concat(parts).groupby(level=["benchmark", "item_id", "train_seed"]).sum()
    return stats.mean_interval(items.rename("weighted").reset_index(), "weighted")


def headline(records: pd.DataFrame, backbone_run: str) -> pd.DataFrame:
    """The claims of the paper as paired differences and shares: claim, ours, ci_low, ci_high, n. Absent models are left out.

    Raises ValueError as `ledger` does, and when two sides of a difference do not hold the same items.
    """
    first = _first_turns(records, backbone_run)
    free = first[(first.run == backbone_run) & (first.forced == "none")]

    def cell(model, kind, condition):
        return free[(free.model == model) & (free.kind == kind) & (free.condition == condition)]

    rows = []

    def add(claim, left, right=None, value="correct"):
        if not left.empty and (right is None or not right.empty):
            found = stats.mean_interval(left, value) if right is None else stats.difference(left, right, value)
            rows.append({"claim": claim, "ours": found.pop("mean")} | found)

    for model, name in (("backbone", "backbone"), ("sft_only", "SFT only"), ("personadual", "PersonaDual")):
        add(f"{name}, objective: unaligned - none", cell(model, "objective", "unaligned"), cell(model, "objective", "none"))
        add(f"{name}, objective: aligned - none", cell(model, "objective", "aligned"), cell(model, "objective", "none"))
        add(f"{name}, personalised: with - without persona", cell(model, "personalized", "aligned"),
            cell(model, "personalized", "none"))
    blocks = {"objective unaligned": ("objective", "unaligned"), "objective aligned": ("objective", "aligned"),
              "personalised": ("personalized", "aligned")}
    new, old = ([cell(model, *block) for block in blocks.values()] for model in ("personadual", "sft_only"))
    for name, left, right in zip(blocks, new, old):
        add(f"PersonaDual - SFT only, {name}", left, right)
    if not any(side.empty for side in new + old):
        found = _three_columns(new, old)
        rows.append({"claim": "PersonaDual - SFT only, mean of the three columns", "ours": found.pop("mean")} | found)
    for model, name in (("sft_only", "SFT only"), ("personadual", "PersonaDual")):
        add(f"{name}, personalised mode: personalized, aligned", cell(model, "personalized", "aligned"), value="personalized")
        for condition in ("none", "unaligned", "aligned"):
            add(f"{name}, personalised mode: objective, {condition}", cell(model, "objective", condition), value="personalized")
        add(f"{name}, personalised mode: objective aligned - unaligned", cell(model, "objective", "aligned"),
            cell(model, "objective", "unaligned"), "personalized")
    return pd.DataFrame(rows, columns=["claim", "ours", "ci_low", "ci_high", "n"])


def _shown(*values: float | None) -> str:
    """Three decimals, counts as they are, "a to b" for an interval, nothing for what is missing."""
    return "" if None in values else " to ".join(str(v) if isinstance(v, int) else f"{v:.3f}" for v in values)


def _table(rows: list[list[str]], header: list[str], identity: str) -> str:
    head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table id='{identity}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def write_html(folder: Path, records: pd.DataFrame, backbone_run: str, figures: Sequence[tuple[Path, str]]) -> Path:
    """Write folder/ledger.json and folder/report.html, one self-contained page; figures are (PNG path, alt text).

    Raises ValueError when a figure is missing.
    """
    if missing := [path.name for path, _ in figures if not path.is_file()]:
        raise ValueError(f"figures {missing} are missing; run the notebooks that draw them, or `make reproduce`")
    entries = ledger(records, backbone_run)
    stages.write_json(folder / "ledger.json", entries)
    claims = [[row.claim, _shown(row.ours), _shown(row.ci_low, row.ci_high), row.n]
              for row in headline(records, backbone_run).itertuples()]
    lines = [[e["artefact"], e["row"], e["column"], _shown(e["paper"]), _shown(e["ours"]), _shown(e["ci_low"], e["ci_high"]),
              _shown(e["n"]), e["seeds"] or "", e["status"], e["note"]] for e in entries]
    pictures = "".join(
        f"<figure><img alt='{html.escape(text)}' src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'>"
        f"<figcaption>{html.escape(text)}</figcaption></figure>" for path, text in figures)
    options = "".join(f"<option>{html.escape(name)}</option>" for name in dict.fromkeys(e["artefact"] for e in entries))
    page = (Path(__file__).parent / "report_template.html").read_text(encoding="utf-8")
    for place, content in {"claims": _table(claims, ["claim", "ours", "95 % interval", "items"], "claims"),
                           "ledger": _table(lines, LEDGER_HEAD, "ledger"), "artefacts": options, "figures": pictures}.items():
        page = page.replace("{{" + place + "}}", content)
    target, temporary = folder / "report.html", folder / f".report.{os.getpid()}.html"
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, target)
    return target
