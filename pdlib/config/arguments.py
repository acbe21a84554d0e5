"""The profile and its settings on a command line."""

import argparse
import json

import yaml

from pdlib.config.profiles import Config, load


def command_line(description: str) -> argparse.ArgumentParser:
    """A parser that knows --profile, --set NAME=VALUE and --overrides JSON; a caller adds its own.

    `from_arguments` makes the config of what was parsed.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--profile", default="pocket")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="settings that differ from the profile's",
    )
    parser.add_argument("--overrides", type=json.loads, default={}, help="the same as JSON")
    return parser


def from_arguments(arguments: argparse.Namespace) -> Config:
    """The config that a command line asks for; ValueError as of `load`."""
    return load(arguments.profile, **(arguments.overrides | _pairs(arguments.set)))


def _pairs(texts: list[str]) -> dict:
    """Settings from NAME=VALUE texts, their values read as YAML.

    ValueError for a text without an equals sign.

    >>> _pairs(["seed=1", "backbones=[a, b]"])
    {'seed': 1, 'backbones': ['a', 'b']}
    """
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text!r}: expected NAME=VALUE")
        settings[name] = yaml.safe_load(value)
    return settings
