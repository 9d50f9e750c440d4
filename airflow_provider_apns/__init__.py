"""Apple's push notification metrics for Apache Airflow."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_ARTICLE = "https://developer.apple.com/documentation/pushkit/exporting-broadcast-push-notification-metrics"
_KEYS = "https://developer.apple.com/account/resources/authkeys/list"
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
        "hooks": [_modules("hooks.apns", "hooks.apns_async")],
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
        "extra-links": [
            f"{__name__}.links.apns.ApnsConsoleLink",
            f"{__name__}.links.apns.ApnsStoredObjectLink",
        ],
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
                        "host": "API host",
                    },
                    "placeholders": {
                        "login": "A1B2C3D4E5",
                        "password": "CloudKit Console > Settings > Tokens > Create Data Export Token",
                        "host": "Leave empty for Apple's own: https://api.icloud.apple.com",
                    },
                },
                # A field's text is Markdown: a plain `description` would show the address of a link as it is.
                "conn-fields": {
                    "app_id": {
                        "label": "App bundle ID",
                        "schema": {
                            "type": ["string", "null"],
                            "description_md": "The app's bundle identifier, such as com.example.app. A token is for "
                            f"one app and one dataset, and so is a connection: [Apple's article]({_ARTICLE}) "
                            "tells how to make a token.",
                        },
                    },
                    "key_id": {
                        "label": "Key ID",
                        "schema": {
                            "type": ["string", "null"],
                            "description_md": "For listing channels only: the ten characters that [Apple's developer "
                            f"account]({_KEYS}) shows beside the key.",
                        },
                    },
                    "private_key": {
                        "label": "Private key (.p8)",
                        "schema": {
                            "type": ["string", "null"],
                            "format": "password",
                            "description_md": "For listing channels only: the whole text of the .p8 file that [Apple's "
                            f"developer account]({_KEYS}) gives out once. Restrict the key to production and to this "
                            "app's topic.",
                        },
                    },
                    "channels_host": {
                        "label": "Channels host",
                        "schema": {
                            "type": ["string", "null"],
                            "description_md": "Leave it empty for Apple's own, which lists the channels: "
                            "https://api-manage-broadcast.push.apple.com:2196",
                        },
                    },
                    "trusted_hosts": {
                        "label": "Trusted hosts",
                        "schema": {
                            "type": ["string", "null"],
                            "description_md": "Further hosts, separated by commas, that the token may be sent to. "
                            "Apple's hosts and the API host are trusted anyway: leave it empty unless an error "
                            "asks for it.",
                        },
                    },
                },
            }
        ],
    }


def _modules(*modules: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": [f"{__name__}.{module}" for module in modules]}
