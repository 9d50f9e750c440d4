"""Apple's rules: how each request is answered. There is no I/O, and the clock is passed in."""

from __future__ import annotations

from airflow_provider_apns.emulator.apple.exports import Export
from airflow_provider_apns.emulator.apple.orders import Order, Query, Refusal
from airflow_provider_apns.emulator.apple.rules import Apple
from airflow_provider_apns.emulator.apple.tokens import TOKEN_HEADER

__all__ = ["TOKEN_HEADER", "Apple", "Export", "Order", "Query", "Refusal"]
