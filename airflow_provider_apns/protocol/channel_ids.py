"""Channel identifiers, as Apple issues them and as DAG authors pass them on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from airflow_provider_apns.exceptions import ApnsInvalidRequestError

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.datasets import Dataset

# Not b64decode: it accepts extra padding, so two identifiers could name the same channel.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")


def check_channel_id(channel_id: object) -> str:
    """Return a channel identifier if it is base64 in the standard alphabet, as Apple issues it."""
    if not isinstance(channel_id, str) or not _BASE64.fullmatch(channel_id):
        raise ApnsInvalidRequestError(
            f"channel_id {str(channel_id)[:80]!r} is not base64 (standard alphabet, with padding), "
            "as Apple's channel identifiers are."
        )
    return channel_id


def check_channel(dataset: Dataset, channel_id: str | None) -> None:
    """Check that there is a channel identifier for the channel dataset, and only for it."""
    if dataset.per_channel:
        if not channel_id:
            raise ApnsInvalidRequestError("channel_id is missing: the channel dataset is exported per channel.")
        check_channel_id(channel_id)
    elif channel_id:
        raise ApnsInvalidRequestError(
            f"channel_id is for the channel dataset only: leave it out for '{dataset.short_name}'."
        )


def read_channel_ids(value: object) -> tuple[str, ...]:
    """
    Read the channels that a DAG author lists, and return each channel identifier once, in order.

    They may be a list of identifiers, a list of rows with one column (as SQL hooks return them), or the text of a
    rendered template: a JSON or Python list, or identifiers separated by commas or white space.
    """
    if isinstance(value, str):
        value = _split(value)
    if not isinstance(value, Iterable) or isinstance(value, (Mapping, bytes)):
        raise ApnsInvalidRequestError(f"channel_ids must be a list of channel ids, not {type(value).__name__}.")
    channel_ids = tuple(dict.fromkeys(check_channel_id(_unwrap(item)) for item in value))
    if not channel_ids:
        raise ApnsInvalidRequestError("channel_ids is empty: the channel dataset is exported per channel.")
    return channel_ids


def _unwrap(item: object) -> object:
    return item[0] if isinstance(item, (tuple, list)) and len(item) == 1 else item


def _split(text: str) -> object:
    if text.startswith("LazySelectSequence"):
        raise ApnsInvalidRequestError(
            "channel_ids is the text 'LazySelectSequence(...)': Airflow 2 renders a mapped task's output this way in "
            "a template. Write channel_ids=the_task.output instead."
        )
    if not text.lstrip().startswith(("[", "(")):
        return [name for name in re.split(r"[\s,]+", text) if name]
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def file_name_of(channel_id: str) -> str:
    """Return a channel identifier in a form that is safe in object names: base64url without padding."""
    return channel_id.replace("+", "-").replace("/", "_").rstrip("=")


def channel_id_of(file_name: str) -> str:
    """Return the channel identifier that :func:`file_name_of` made safe."""
    return file_name.replace("-", "+").replace("_", "/") + "=" * (-len(file_name) % 4)
