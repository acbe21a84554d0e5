"""Which systems take part in a run, by its settings."""

from collections.abc import Sequence

import pandas as pd

from pdlib import config
from pdlib.paper.catalogue import ARMS, CONTROLS, SYSTEMS, TABLES, of


def table(names: Sequence[str] = tuple(SYSTEMS)) -> pd.DataFrame:
    """The systems in words: title, family, what they are, what they start from."""
    rows = []
    for name in names:
        system = of(name)
        rows.append(
            {
                "system": name,
                "paper": system.title,
                "family": system.family,
                "what": system.what,
                "from": system.start if system.trained or system.routed else "",
            }
        )
    return pd.DataFrame(rows)


def chosen(cfg: config.Config, names: Sequence[str]) -> list[str]:
    """Those of `names` that take part by the setting `systems`, in their order; ["all"]: all.

    ValueError for one that is in no table.
    """
    taking_part = config.listed(cfg, "systems", TABLES)
    return [name for name in names if name in taking_part]


def absent(cfg: config.Config, names: Sequence[str]) -> str:
    """A sentence that names those of `names` that do not take part, and how they would.

    It is empty where all take part.
    """
    taking_part = chosen(cfg, names)
    missing = [name for name in names if name not in taking_part]
    if not missing:
        return ""
    return f'not trained in this run: {", ".join(missing)}; SET="systems=[all]" adds them'


def arms(cfg: config.Config) -> list[str]:
    """The single changes that cfg.arms asks for; ["all"]: every one.

    ValueError for one that is not among catalogue.ARMS.
    """
    return config.listed(cfg, "arms", ARMS)


def controls(cfg: config.Config) -> list[str]:
    """The controls that cfg.controls asks for, as `arms` does for arms.

    ValueError, too, where the data are real.
    """
    names = config.listed(cfg, "controls", CONTROLS)
    if names and cfg.data_dir != "pocket":
        raise ValueError(
            f"setting controls asks for {', '.join(names)}, but data_dir is {cfg.data_dir!r}: only "
            "of the pocket world is it known what a backbone has read; set controls=[]"
        )
    return names


def everything(cfg: config.Config) -> list[str]:
    """What tables, arms and controls ask for, for `tasks`: backbones and systems."""
    return [*cfg.backbones, *chosen(cfg, TABLES), *arms(cfg), *controls(cfg)]
