"""The data sets on the hub, and the commit at which each of them is read.

Pinned revisions: PubMedQA, TriviaQA, MMLU-Pro, SuperGPQA and MATH-500 are at the commits that
public evaluation code pins; FLAN is at one that public training code read. For the others no
published commit is known: `revision` asks the hub for the current one.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import datasets
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

# offline, gated, no such repository, configuration or revision
REFUSALS = (OSError, ValueError, RuntimeError, HfHubHTTPError)
FEEDBACK_PERSONAS = "persona/all_personas.jsonl"  # within PersonaFeedback


@dataclass(frozen=True)
class HubSet:
    """A data set on the hub, and what is read of it.

    columns: those that are read.  stem: the name of its file in a folder of files, without ending.
    config: None where the hub has one configuration only.  revision: the pinned commit, or None.
    """

    hub: str
    split: str
    columns: tuple[str, ...]
    stem: str
    config: str | None = None
    revision: str | None = None


HUB = {
    "pubmedqa": HubSet(
        "qiaojin/PubMedQA",
        split="train",
        columns=("pubid", "question", "context", "final_decision"),
        stem="pubmedqa",
        config="pqa_labeled",
        revision="9001f2853fb87cab8d220904e0de81ac6973b318",
    ),
    "triviaqa": HubSet(
        "mandarjoshi/trivia_qa",
        split="validation",
        columns=("question", "answer"),
        stem="triviaqa",
        config="rc.nocontext",
        revision="0f7faf33a3908546c6fd5b73a660e0f8ff173c2f",
    ),
    "mmlu_pro": HubSet(
        "TIGER-Lab/MMLU-Pro",
        split="test",
        columns=("question_id", "question", "options", "answer", "answer_index"),
        stem="mmlu-pro",
        revision="b189ec765aa7ed75c8acfea42df31fdae71f97be",
    ),
    "supergpqa": HubSet(
        "m-a-p/SuperGPQA",
        split="train",
        columns=("question", "options", "answer", "answer_letter"),
        stem="supergpqa",
        revision="4430d4458112c7d4497fdcf94d7cc223313d6acf",
    ),
    "math500": HubSet(
        "HuggingFaceH4/MATH-500",
        split="test",
        columns=("problem", "answer", "unique_id"),
        stem="math500",
        revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
    ),
    "personafeedback": HubSet(
        "PersonalAILab/PersonaFeedback",
        split="test",
        columns=("user_id", "question", "chosen", "reject"),
        stem="personafeedback",
    ),
    "fspo_roleplay": HubSet(
        "sher222/persona-iterative-responses",
        split="test",
        columns=("x", "yw", "yl", "score_persona"),
        stem="fspo_roleplay",
    ),
    "ultramedical": HubSet(
        "TsinghuaC3I/UltraMedical",
        split="train",
        columns=("id", "conversations", "answer"),
        stem="ultramedical",
    ),
    "flan": HubSet(
        "Muennighoff/flan",
        split="train",
        columns=("inputs", "targets", "task"),
        stem="flan",
        revision="049702ca5ffc5b3c62bf226aac67ba1493e8d548",
    ),
    "alignx": HubSet(
        "JinaLeejnl/AlignX",
        split="train",
        columns=("prompt", "chosen", "rejected", "Pair-wise Comparative Feedback"),
        stem="alignx",
    ),
    "personahub": HubSet(
        "proj-persona/PersonaHub",
        split="train",
        columns=("persona",),
        stem="personahub",
        config="persona",
    ),
}


def pins(folder: Path | None) -> dict[str, str]:
    """Data set -> commit, as `revisions.json` in `folder` says; ValueError for anything else."""
    path = folder / "revisions.json" if folder else None
    if path is None or not path.is_file():
        return {}
    commits = json.loads(path.read_text(encoding="utf-8"))
    wrong = [
        f"{name}: {commit}"
        for name, commit in commits.items()
        if name not in HUB or not re.fullmatch("[0-9a-f]{40}", str(commit))
    ]
    if wrong:
        raise ValueError(
            f"{path}: found {wrong}; expected {{name: commit}} with names of {list(HUB)} and "
            "commits of 40 hexadecimal digits"
        )
    return commits


def revision(name: str, folder: Path | str | None = None) -> str:
    """The commit at which data set `name` is read.

    It is that of `revisions.json` in `folder`, else the pinned one, else the hub's current one.
    """
    pinned = pins(Path(folder) if folder else None)
    return pinned.get(name) or HUB[name].revision or _current(name)


@cache
def _current(name: str) -> str:
    try:
        return HfApi().dataset_info(HUB[name].hub).sha
    except REFUSALS as refused:
        raise _refusal(name, refused) from refused


def fetch(name: str, folder: Path | None = None) -> Path | datasets.Dataset:
    """The table of data set `name` from the hub; of PersonaFeedback the folder of its files.

    folder: may pin the commit, see `revision`.
    """
    hub_set, commit = HUB[name], revision(name, folder)
    try:
        if name != "personafeedback":
            return datasets.load_dataset(
                hub_set.hub, hub_set.config, split=hub_set.split, revision=commit
            )
        snapshot = snapshot_download(
            hub_set.hub,
            repo_type="dataset",
            revision=commit,
            allow_patterns=["data/*/*.jsonl", FEEDBACK_PERSONAS],
        )
        return Path(snapshot)
    except REFUSALS as refused:
        raise _refusal(name, refused) from refused


def _refusal(name: str, refused: Exception) -> ValueError:
    hub_set = HUB[name]
    replacement = f"{hub_set.stem}.jsonl"
    if name == "personafeedback":
        replacement = f"the folder {hub_set.stem}/ (laid out as on the hub)"
    reason = (str(refused).splitlines() or [type(refused).__name__])[0]
    return ValueError(
        f"{name}: the hub did not give {hub_set.hub} ({reason}); put {replacement}, with the "
        f"columns {hub_set.columns}, into a folder and give that folder as data_dir"
    )
