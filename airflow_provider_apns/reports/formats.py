"""Which format a path's suffix names."""

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
    """
    Tell in which format to write.

    :param path: the path, whose suffix names the format.
    :param output_format: ``csv``, ``jsonl`` or ``parquet`` where the suffix names none.
    :raises ApnsInvalidRequestError: if neither names a format, or both name different ones.
    """
    suffix = splitext(path)[1][1:].lower()
    named = suffix if suffix in CONTENT_TYPES else None
    if output_format is not None and output_format not in CONTENT_TYPES:
        raise ApnsInvalidRequestError(
            f"output_format must be one of {', '.join(CONTENT_TYPES)}, not {output_format!r}."
        )
    if output_format is None and named is None:
        raise ApnsInvalidRequestError(
            f"path {path!r} does not say its format: end it with .csv, .jsonl or .parquet, or give output_format."
        )
    if output_format and named and output_format != named:
        raise ApnsInvalidRequestError(
            f"output_format {output_format!r} contradicts the suffix of path {path!r}: leave output_format out, "
            "or change one of them."
        )
    return cast("Format", output_format or named)


def names_register(text: str) -> bool:
    """Whether a text is the path of a register of channels, and not a list of channel ids: these have no dots."""
    return "/" in text and text.endswith((".jsonl", ".parquet"))


def check_register(path: str) -> None:
    """
    Check the path of a register of channels.

    :raises ApnsInvalidRequestError: if it is no path, or not of JSON Lines or Parquet.
    """
    if not names_register(path):
        raise ApnsInvalidRequestError(
            f"path {path!r} is none of a register: give a full path that ends with .jsonl or .parquet."
        )


def read_format(path: str, output_format: str | None) -> Format:
    """
    Tell in which format to write, and check that what it needs is installed; see :func:`name_format`.

    :raises ApnsInvalidRequestError: naming the extra to install if pyarrow is missing.
    """
    found = name_format(path, output_format)
    if found == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ApnsInvalidRequestError(
                "output_format 'parquet' needs pyarrow: pip install 'airflow-provider-apns[parquet]'."
            ) from error
    return found
