"""Profiles as files, and the one frozen config that a run reads from them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from pdlib.config import paths
from pdlib.config.checks import check
from pdlib.config.settings import UNSAID, Settings

PROFILES = Path(__file__).resolve().parents[1] / "profiles"


@dataclass(frozen=True)
class Config(Settings):
    """The settings of a run, with the folders that follow from them."""

    def folder(self) -> Path:
        """The folder outputs/<profile>.

        A relative output_dir counts from the repository, wherever the kernel was started.
        """
        return paths.ROOT / self.output_dir / self.profile

    @property
    def run(self) -> str:
        """The name in records of the backbone that the systems are trained on."""
        return paths.run_name(self.backbone)

    def run_folder(self) -> Path:
        """The folder outputs/<profile>/<run>: what depends on that backbone."""
        return self.folder() / paths.file_name(self.backbone)

    def overrides(self) -> dict:
        """The settings that differ from the profile's.

        `load(self.profile, **self.overrides())` equals this config.
        """
        usual = load(self.profile)
        return {
            name: getattr(self, name)
            for name in self.sources
            if getattr(self, name) != getattr(usual, name)
        }

    def subset(self, *prefixes: str) -> dict:
        """The settings whose names begin with one of `prefixes`: what a stage depends on.

        A setting of UNSAID is left out at its usual value.
        """
        return {
            name: value
            for name, value in asdict(self).items()
            if name.startswith(prefixes) and name != "sources" and UNSAID.get(name, ()) != value
        }


def names() -> list[str]:
    """The profiles there are."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def _entries(profile: str) -> dict[str, list]:
    """Each setting's [value, source] in a profile and in those that it extends."""
    if profile not in names():
        raise ValueError(f"unknown profile {profile!r}, expected one of {names()}")
    entries = yaml.safe_load((PROFILES / f"{profile}.yaml").read_text(encoding="utf-8"))
    base = _entries(entries.pop("extends")) if "extends" in entries else {}
    for name, entry in entries.items():
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str)):
            raise ValueError(
                f"profile {profile!r}, {name}: found {entry!r}, expected [value, source]"
            )
    return base | entries


def load(profile: str, **overrides) -> Config:
    """The config of `profile` with `overrides`.

    ValueError for an unknown profile, an unknown setting, or a value that cannot work.
    """
    entries = _entries(profile)
    types = {f.name: f.type for f in fields(Config) if f.name not in ("profile", "sources")}
    unknown = sorted((set(entries) | set(overrides)) - set(types))
    if unknown:
        raise ValueError(
            f"unknown setting {', '.join(unknown)}; known settings: {', '.join(types)}"
        )
    missing = sorted(set(types) - set(entries))
    if missing:
        raise ValueError(f"profile {profile!r} lacks {', '.join(missing)}")
    values = {name: value for name, (value, _) in entries.items()} | overrides
    values["backbone"] = values["backbone"] or next(iter(values["backbones"]), "")
    for name, value in values.items():
        values[name] = _typed(name, value, types[name])
    sources = {name: source for name, (_, source) in entries.items()}
    sources |= dict.fromkeys(overrides, "given at the call")
    config = Config(profile=profile, **values, sources=sources)
    check(config)
    return config


def _typed(name: str, value, wanted: type):
    """The value; a whole number where a float is wanted becomes one, ValueError for other types."""
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise ValueError(
            f"setting {name}: found {value!r} ({type(value).__name__}), expected {wanted.__name__}"
        )
    return value


def listed(config: Config, setting: str, known: Iterable[str]) -> list[str]:
    """The names that a setting lists, which are some of `known`; ["all"] stands for all of them.

    ValueError for a name that is not among `known`.
    """
    known, names_given = list(known), getattr(config, setting)
    chosen = known if names_given == ["all"] else list(names_given)
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise ValueError(
            f"setting {setting} names {unknown}, expected some of {', '.join(known)}, or all"
        )
    return chosen
