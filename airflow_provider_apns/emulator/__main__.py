"""The emulator as a program: ``python -m airflow_provider_apns.emulator``."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

from airflow_provider_apns.emulator.faults import Fault
from airflow_provider_apns.emulator.server import Service
from airflow_provider_apns.emulator.settings import CSV_TRAITS, DATASETS, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEFAULTS = Settings()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until it is told to end.

    :param arguments: the command line; the process's own if it is missing
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    faults = options.pop("fault")
    try:
        asyncio.run(_serve(Settings.of(**options), faults))
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    return 0


async def _serve(settings: Settings, faults: list[Fault]) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    service = Service(settings)
    for fault in faults:
        service.faults.inject(fault)
    await service.start()
    print(_announcement(service), flush=True)  # noqa: T201
    await ending.wait()
    await service.stop()
    service.close()


def _announcement(service: Service) -> str:
    # The token may be shown: it opens nothing but this emulator.
    trust = f" - trust: {service.ca_path}" if service.ca_path else ""
    connection = f"AIRFLOW_CONN_APNS_DEFAULT='{json.dumps(service.connection)}'"
    return f"APNs emulator listening on {service.url} - connection: {connection}{trust}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_apns.emulator",
        description="A local stand-in for Apple's APNs data export service.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_access(parser.add_argument_group("where, and for whom"))
    _add_data(parser.add_argument_group("the data"))
    _add_behaviour(parser.add_argument_group("the exports"))
    return parser


def _add_access(group: Any) -> None:
    group.add_argument("--host", default=_DEFAULTS.host, help="address to listen on")
    group.add_argument("--port", type=int, default=8585, help="port to listen on; 0 takes a free one")
    group.add_argument("--tls", action="store_true", help="serve https with an own certificate authority")
    group.add_argument("--tls-dir", metavar="DIR", help="where ca.pem is written; a temporary directory otherwise")
    group.add_argument("--token", default="", help="the valid data export token; otherwise one is made up")
    group.add_argument("--team-id", default=_DEFAULTS.team_id, help="the token's team")
    group.add_argument("--app-id", default=_DEFAULTS.app_id, help="the token's app")
    names = [dataset.name for dataset in DATASETS]
    group.add_argument(
        "--dataset", dest="datasets", action="append", choices=names, default=argparse.SUPPRESS,
        help="what the token may ask for; repeatable; all datasets otherwise",
    )  # fmt: skip
    group.add_argument("--jwt", action="store_true", help="make up a token that reads as a JWT")
    group.add_argument(
        "--token-expires-in-days", type=float, default=_DEFAULTS.token_expires_in_days, metavar="N",
        help="when that token expires",
    )  # fmt: skip
    group.add_argument("--status-host", metavar="NAME", help="host name of status URLs, if another")
    group.add_argument("--download-host", metavar="NAME", help="host name of download URLs, if another")
    group.add_argument("--state", metavar="FILE", help="journal in which exports and ledger survive the process")


def _add_data(group: Any) -> None:
    group.add_argument("--seed", type=int, default=_DEFAULTS.seed, help="decides every number")
    group.add_argument("--days", type=int, default=_DEFAULTS.days, help="how many days back there is data")
    group.add_argument("--channels", type=int, default=_DEFAULTS.channels, help="how many channels the app has")
    group.add_argument("--rows", type=int, default=0, help="pad delivery exports to this many rows")
    group.add_argument(
        "--csv", action="append", choices=list(CSV_TRAITS), default=[], help="how the CSV departs; repeatable"
    )


def _add_behaviour(group: Any) -> None:
    group.add_argument(
        "--processing-seconds",
        type=float,
        default=5.0,
        metavar="S",
        help="how long an export stays PROCESSING",
    )
    group.add_argument(
        "--processing-polls",
        type=int,
        default=0,
        metavar="N",
        help="how many GETs are answered PROCESSING at least",
    )
    group.add_argument("--latency", type=float, default=0.0, metavar="S", help="seconds added to every answer")
    group.add_argument("--fail", default="0", help="exports that end FAILED: a share, channels, datasets")
    group.add_argument("--expire", default="0", help="exports that end EXPIRED: a share, channels, datasets")
    group.add_argument(
        "--url-expires-seconds",
        type=float,
        metavar="S",
        help="life of download URLs, in place of that asked for",
    )
    group.add_argument(
        "--data-url-key",
        choices=("dataUrl", "dataURL"),
        default="dataUrl",
        help="Apple's example, or Apple's table",
    )
    group.add_argument(
        "--fault", action="append", type=_fault, default=[], metavar="SPEC",
        help="inject a fault, such as status:503:times=2,retry_after=3; repeatable",
    )  # fmt: skip


def _fault(text: str) -> Fault:
    try:
        return Fault.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
