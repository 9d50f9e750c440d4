"""The output formats, and which one a path names."""

from __future__ import annotations

from posixpath import splitext
from typing import Literal, cast

from airflow_provider_apns.exceptions import ApnsInvalidRequestError

Format = Literal["csv", "jsonl", "parquet"]

CONTENT_TYPES: dict[Format, str] = {
    "csv": "text/csv",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}


def name_format(path: str, output_format: str | None) -> Format:
    """Return the format that the path's suffix or ``output_format`` names. The two must not disagree."""
    suffix = splitext(path)[1][1:].lower()
    named = suffix if suffix in CONTENT_TYPES else None
    if output_format is not None and output_format not in CONTENT_TYPES:
        raise ApnsInvalidRequestError(
            f"output_format must be one of {', '.join(CONTENT_TYPES)}, not {output_format!r}."
        )
    if output_format is None and named is None:
        raise ApnsInvalidRequestError(
            f"path {path!r} does not say its format: end it in .csv, .jsonl or .parquet, or set output_format."
        )
    if output_format and named and output_format != named:
        raise ApnsInvalidRequestError(
            f"output_format {output_format!r} contradicts the suffix of path {path!r}: leave output_format out, "
            "or change one of them."
        )
    return cast("Format", output_format or named)


def names_register(text: str) -> bool:
    """Whether a text is the path of a register of channels. A list of channel ids has no dots."""
    return "/" in text and text.endswith((".jsonl", ".parquet"))


def check_register(path: str) -> None:
    """Check that a path can be that of a register of channels: a full path, for JSON Lines or Parquet."""
    if not names_register(path):
        raise ApnsInvalidRequestError(
            f"path {path!r} cannot be a register of channels: give a full path that ends in .jsonl or .parquet."
        )


def read_format(path: str, output_format: str | None) -> Format:
    """Return the format that :func:`name_format` finds, if what it needs is installed."""
    found = name_format(path, output_format)
    if found == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ApnsInvalidRequestError(
                "output_format 'parquet' needs pyarrow: pip install 'airflow-provider-apns[parquet]'."
            ) from error
    return found
