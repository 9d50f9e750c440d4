"""The emulator's reference names every option and every kind of fault, in the program's own words."""

from __future__ import annotations

import argparse
from pathlib import Path

from airflow_provider_apns.emulator.__main__ import _parser
from airflow_provider_apns.emulator.faults import ENDPOINTS, KINDS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "emulator.md"


def options() -> str:
    lines = ["| option | |", "|---|---|"]
    for action in _parser()._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        name = action.option_strings[-1]
        value = ""
        if action.nargs != 0:
            choices = "{" + ", ".join(action.choices or ()) + "}"
            value = " " + (choices if action.choices else action.metavar or action.dest.upper())
        default = action.default
        shown = "" if default in (None, "", False, [], 0, argparse.SUPPRESS) else f" (`{default}`)"
        lines.append(f"| `{name}{value}` | {action.help}{shown} |")
    return "\n".join(lines)


def faults() -> str:
    lines = ["| kind | where | what happens |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {'all' if set(kind.endpoints) == set(ENDPOINTS) else ', '.join(kind.endpoints)} | {kind.what} |"
        for name, kind in KINDS.items()
    ]
    return "\n".join(lines)


def test_every_option() -> None:
    assert options() in PAGE.read_text(), f"docs/reference/emulator.md should have this table:\n{options()}"


def test_every_fault() -> None:
    assert faults() in PAGE.read_text(), f"docs/reference/emulator.md should have this table:\n{faults()}"
