"""Apple's push notification metrics for Apache Airflow."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_ARTICLE = "https://developer.apple.com/documentation/pushkit/exporting-broadcast-push-notification-metrics"
_INTEGRATION = "Apple Push Notification service (APNs)"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata for Airflow's entry point group ``apache_airflow_provider``."""
    return {
        "package-name": "airflow-provider-apns",
        "name": _INTEGRATION,
        "description": f"`Apple's push notification metrics <{_ARTICLE}>`__ in your object store.\n",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": _ARTICLE,
                "tags": ["service"],
            }
        ],
        "hooks": [_modules("hooks.apns")],
        "triggers": [_modules("triggers.apns")],
        "sensors": [_modules("sensors.apns")],
        "operators": [_modules("operators.apns")],
        "transfers": [
            {
                "source-integration-name": _INTEGRATION,
                "target-integration-name": "Common IO",
                "python-module": f"{__name__}.transfers.apns_to_object_storage",
            }
        ],
        "extra-links": [],
        "connection-types": [
            {
                "connection-type": "apns",
                "hook-class-name": f"{__name__}.hooks.apns.ApnsHook",
                "hook-name": _INTEGRATION,
                "ui-field-behaviour": {
                    "hidden-fields": ["port", "schema", "extra"],
                    "relabeling": {
                        "login": "Team ID",
                        "password": "Data export token",
                        "host": "API host (leave empty for Apple's own)",
                    },
                    "placeholders": {
                        "login": "A1B2C3D4E5",
                        "password": "From CloudKit Console: Settings > Tokens > Create Data Export Token",
                        "host": "https://api.icloud.apple.com",
                    },
                },
                "conn-fields": {
                    "app_id": {
                        "label": "App bundle ID",
                        "description": "The app's bundle identifier, such as com.example.app. One connection holds "
                        f"one token: one app and one dataset. See {_ARTICLE}",
                        "schema": {"type": ["string", "null"]},
                    },
                    "trusted_hosts": {
                        "label": "Trusted hosts",
                        "description": "Further hosts, separated by commas, that status URLs may have. "
                        "Hosts of Apple and the API host are trusted anyway; leave empty unless an error asks for it.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }


def _modules(module: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": [f"{__name__}.{module}"]}
