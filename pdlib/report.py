"""The ledger (each number of the paper beside ours) and report.html, from records alone."""

import base64
import html
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pdlib import paper, stages, stats

BENCHMARKS = {"PubMedQA": "pubmedqa", "TriviaQA": "triviaqa", "MMLU-Pro": "mmlu_pro", "SuperGPQA": "supergpqa",
              "MATH500": "math500", "P.FB.": "personafeedback", "F.RP.": "fspo_roleplay"}
BLOCKS = {"Avg.": "objective", "Personalized Avg.": "personalized"}
ROWS = {  # (table, row) -> (model, forced); the run is the first backbone's unless the row is a Llama one
    ("table1", "Qwen3-8B-Instruct"): ("backbone", "none"), ("table1", "PersonaDual"): ("personadual", "none"),
    ("table1", "Llama3.1-8B-Instruct"): ("backbone", "none"), ("table9", "LLaMA3.1-8B-Instruct"): ("backbone", "none"),
    ("table1_upper_bound", "No-Persona Upperbound"): ("personadual", "none"),
    ("table2", "PersonaDual-SFT"): ("sft_only", "none"), ("table2", "PersonaDual"): ("personadual", "none"),
    ("table8", "PersonaDual-general"): ("personadual", "general"), ("table8", "PersonaDual-personal"): ("personadual", "personalized"),
    ("table8", "PersonaDual"): ("personadual", "none"), ("table8", "PersonaDual Upperbound"): ("personadual", "either"),
}
REASONS = {
    "table1": "this system is not trained yet", "table1_upper_bound": "no records of PersonaDual without persona",
    "table2": "this ablation is not trained yet", "table3": "no dialogues yet", "multi_turn": "no dialogues yet",
    "table4": "this model is not available offline", "figure3b": "this baseline is not built yet",
    "table8": "no records of both forced modes", "table9": "this system is not trained on the Llama backbone yet",
    "table9_upper_bound": "PersonaDual is not trained on the Llama backbone yet",
}
SCALED = "pocket twin of the benchmark and a pocket backbone: the mechanism, not the paper's level"


def _either(records: pd.DataFrame) -> pd.DataFrame:
    """One row an item, condition and run: right in at least one of the two forced modes (Table 8, upper bound)."""
    forced = records[records.forced != "none"]
    keys = ["kind", "benchmark", "item_id", "condition", "seed", "train_seed"]
    return forced.groupby(keys, as_index=False).correct.max()


def _ours(number: paper.Number, sides: dict, cache: dict) -> dict | None:
    """{mean, ci_low, ci_high, n, seeds} for a number of the paper, or None where the records do not hold it."""
    if (number.artefact, number.row) not in ROWS:
        return None
    model, forced = ROWS[number.artefact, number.row]
    side = sides.get(("llama" if "llama" in number.row.lower() else "first", model, forced))
    if side is None or side.empty:
        return None
    name, condition = number.column.rsplit(" ", 1)
    chosen = side.kind == BLOCKS[name] if name in BLOCKS else side.benchmark == BENCHMARKS[name]
    part = side[chosen & (side.condition == condition)]
    if part.empty:
        return None
    key = (id(side), name, condition)
    if key not in cache:
        cache[key] = stats.mean_interval(part) | {"seeds": int(part.train_seed.nunique())}
    return cache[key]


def _check(records: pd.DataFrame, backbone_run: str) -> None:
    needed = {"run", "model", "kind", "benchmark", "item_id", "condition", "forced", "seed", "train_seed", "mode", "correct"}
    if missing := needed - set(records.columns):
        raise ValueError(f"the records lack the columns {sorted(missing)}; evaluate again")
    if not (records.run == backbone_run).any():
        raise ValueError(f"no records of run {backbone_run!r}, found {sorted(records.run.unique())}; run the evaluation first")


def ledger(records: pd.DataFrame, backbone_run: str) -> list[dict]:
    """One entry for each of `paper.numbers()`: {id, artefact, row, column, paper, ours, ci_low, ci_high, n, seeds, status, note}.

    Raises ValueError when the records lack a column or hold nothing of `backbone_run`.
    """
    _check(records, backbone_run)
    sides: dict = {}
    for tag, part in (("first", records[records.run == backbone_run]), ("llama", records[records.run == "pocket-llama"])):
        for (model, forced), side in part.groupby(["model", "forced"]):
            sides[tag, model, forced] = side
        for model, side in part.groupby("model"):
            sides[tag, model, "either"] = _either(side)
    entries, cache = [], {}
    for number in paper.numbers():
        ours = _ours(number, sides, cache)
        entries.append({
            "id": number.id, "artefact": number.artefact, "row": number.row, "column": number.column, "paper": number.value,
            "ours": ours["mean"] if ours else None, "ci_low": ours["ci_low"] if ours else None,
            "ci_high": ours["ci_high"] if ours else None, "n": ours["n"] if ours else None, "seeds": ours["seeds"] if ours else 0,
            "status": "scaled-down" if ours else "not attempted", "note": SCALED if ours else REASONS[number.artefact],
        })
    return entries


def headline(records: pd.DataFrame, backbone_run: str) -> pd.DataFrame:
    """The claims of the paper as paired differences and shares: claim, ours, ci_low, ci_high, n. Absent models are left out."""
    _check(records, backbone_run)
    free = records[(records.run == backbone_run) & (records.forced == "none")]
    free = free.assign(personalized=(free["mode"] == "personalized").astype(float))

    def cell(model, kind, condition):
        return free[(free.model == model) & (free.kind == kind) & (free.condition == condition)]

    rows = []

    def add(claim, left, right=None, value="correct"):
        if left.empty or (right is not None and right.empty):
            return
        found = stats.mean_interval(left, value) if right is None else stats.difference(left, right, value)
        rows.append({"claim": claim, "ours": found["mean"], "ci_low": found["ci_low"], "ci_high": found["ci_high"], "n": found["n"]})

    def three(model):  # the mean of the three columns weighs each block alike: objective unaligned, aligned, personalised
        columns = [("objective", "unaligned"), ("objective", "aligned"), ("personalized", "aligned")]
        return [cell(model, kind, condition) for kind, condition in columns]

    for model, name in (("backbone", "backbone"), ("sft_only", "SFT only"), ("personadual", "PersonaDual")):
        add(f"{name}, objective: unaligned - none", cell(model, "objective", "unaligned"), cell(model, "objective", "none"))
        add(f"{name}, objective: aligned - none", cell(model, "objective", "aligned"), cell(model, "objective", "none"))
        add(f"{name}, personalised: with - without persona", cell(model, "personalized", "aligned"), cell(model, "personalized", "none"))
    names = ("objective unaligned", "objective aligned", "personalised")
    for name, new, old in zip(names, three("personadual"), three("sft_only")):
        add(f"PersonaDual - SFT only, {name}", new, old)
    if not any(side.empty for side in three("personadual") + three("sft_only")):
        mean = sum(stats.difference(new, old)["mean"] for new, old in zip(three("personadual"), three("sft_only"))) / 3
        rows.append({"claim": "PersonaDual - SFT only, mean of the three columns", "ours": mean, "ci_low": None, "ci_high": None,
                     "n": sum(side.item_id.nunique() for side in three("personadual"))})
    for model, name in (("sft_only", "SFT only"), ("personadual", "PersonaDual")):
        for kind, condition in (("personalized", "aligned"), ("objective", "none"), ("objective", "unaligned"), ("objective", "aligned")):
            add(f"{name}, personalised mode: {kind}, {condition}", cell(model, kind, condition), value="personalized")
        add(f"{name}, personalised mode: objective aligned - unaligned", cell(model, "objective", "aligned"),
            cell(model, "objective", "unaligned"), "personalized")
    return pd.DataFrame(rows)


def _number(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.3f}"


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
    claims = [[row.claim, _number(row.ours), f"{_number(row.ci_low)} to {_number(row.ci_high)}" if pd.notna(row.ci_low) else "", row.n]
              for row in headline(records, backbone_run).itertuples()]
    lines = [[e["artefact"], e["row"], e["column"], _number(e["paper"]), _number(e["ours"]),
              f"{_number(e['ci_low'])} to {_number(e['ci_high'])}" if e["ours"] is not None else "", e["n"] or "", e["seeds"] or "",
              e["status"], e["note"]] for e in entries]
    pictures = "".join(
        f"<figure><img alt='{html.escape(text, quote=True)}' src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'>"
        f"<figcaption>{html.escape(text)}</figcaption></figure>" for path, text in figures)
    options = "".join(f"<option>{html.escape(name)}</option>" for name in dict.fromkeys(e["artefact"] for e in entries))
    template = (Path(__file__).parent / "report_template.html").read_text(encoding="utf-8")
    page = template.replace("{{claims}}", _table(claims, ["claim", "ours", "95 % interval", "items"], "claims")).replace(
        "{{ledger}}", _table(lines, ["artefact", "row", "column", "paper", "ours", "95 % interval", "items", "seeds", "status", "note"], "ledger")
    ).replace("{{figures}}", pictures).replace("{{artefacts}}", options)
    target, temporary = folder / "report.html", folder / f".report.{os.getpid()}.html"
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, target)
    return target
