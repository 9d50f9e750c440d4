"""The emulator as a program: ``python -m airflow_provider_apns.emulator``."""

from __future__ import annotations

import argparse
import inspect
import re
import signal
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow_provider_apns.emulator.datasets import DATASETS
from airflow_provider_apns.emulator.faults import Fault
from airflow_provider_apns.emulator.server import Emulator
from airflow_provider_apns.emulator.settings import CSV_TRAITS, REQUESTED_AT, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENDS = (signal.SIGTERM, signal.SIGINT)

_SHAPES: dict[str, dict[str, Any]] = {
    "port": {"type": int, "default": 8585},
    "channels_port": {"type": int},
    "datasets": {"action": "append", "choices": [dataset.name for dataset in DATASETS]},
    "processing_seconds": {"type": float, "default": 5.0},
    "url_expires_seconds": {"type": float},
    "data_url_key": {"choices": ("dataUrl", "dataURL")},
    "requested_at": {"choices": REQUESTED_AT},
    "csv": {"action": "append", "choices": CSV_TRAITS},
}
"""The options whose form does not follow from the setting's default."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until it receives SIGTERM or SIGINT."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    faults = options.pop("fault")
    # Blocked before any thread starts, so that only sigwait receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        with Emulator(**options) as emulator:
            emulator.inject(*faults)
            print(_announcement(emulator), flush=True)  # noqa: T201
            signal.sigwait(_ENDS)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    return 0


def _announcement(emulator: Emulator) -> str:
    # The token may be shown, because it works with this emulator only.
    connection = f"AIRFLOW_CONN_APNS_DEFAULT='{emulator.connection_json}'"
    trust = f" - trust: {emulator.ca_path}" if emulator.ca_path else ""
    return f"APNs emulator listening on {emulator.url} - connection: {connection}{trust}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_apns.emulator",
        description="A local stand-in for Apple's APNs data export service.",
        argument_default=argparse.SUPPRESS,
    )
    described = dict(re.findall(r":param (\w+): (.+(?:\n {4}.+)*)", inspect.getdoc(Settings) or ""))
    for field in fields(Settings):
        flag = "--dataset" if field.name == "datasets" else "--" + field.name.replace("_", "-")
        text = re.sub(r"\s+", " ", described[field.name]).replace("``", "")
        parser.add_argument(flag, dest=field.name, help=text, **_shape(field.name, field.default))
    parser.add_argument(
        "--fault", action="append", type=_fault, default=[], metavar="SPEC",
        help="inject a fault, such as status:503:times=2,retry_after=3; repeatable",
    )  # fmt: skip
    return parser


def _shape(name: str, default: Any) -> dict[str, Any]:
    if name in _SHAPES:
        return ({} if "choices" in _SHAPES[name] else {"metavar": "N"}) | _SHAPES[name]
    if isinstance(default, bool):
        return {"action": "store_true"}
    if isinstance(default, (int, float)):
        return {"type": type(default), "default": default, "metavar": "N"}
    return {"default": default or argparse.SUPPRESS}


def _fault(text: str) -> Fault:
    try:
        return Fault.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
