from __future__ import annotations

import inspect
import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_apns import exceptions
from airflow_provider_apns.exceptions import (
    ApnsError,
    ApnsNotFoundError,
    ApnsReportError,
    ApnsServiceError,
    ApnsTokenError,
    failing_at_once,
)

FAMILY = [
    cls
    for _, cls in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(cls, ApnsError) and cls is not ApnsError
]
RETRYABLE = {ApnsServiceError, ApnsReportError}


def test_the_family_is_complete() -> None:
    assert len(FAMILY) == 11
    assert {cls for cls in FAMILY if cls.retryable} == RETRYABLE


@pytest.mark.parametrize("cls", FAMILY)
def test_an_error_survives_its_way_through_airflows_database(cls: type[ApnsError]) -> None:
    error = cls("What happened: ümläut, 'quotes', 100 %.")
    event = json.loads(json.dumps(error.to_event()))
    rebuilt = ApnsError.from_event(event)
    assert type(rebuilt) is cls
    assert str(rebuilt) == str(error)
    assert rebuilt.retryable is error.retryable


def test_a_class_of_another_version_of_the_provider_may_be_retried() -> None:
    rebuilt = ApnsError.from_event({"error": "ApnsErrorOfTheFuture", "message": "Something new."})
    assert type(rebuilt) is ApnsServiceError
    assert rebuilt.retryable
    assert str(rebuilt) == "Something new."


def test_a_service_error_tells_how_long_to_wait_and_whether_to_slow_down() -> None:
    error = ApnsServiceError("Busy.", retry_after=7.5, slow_down=True)
    assert (error.retry_after, error.slow_down) == (7.5, True)
    assert (ApnsServiceError("Gone.").retry_after, ApnsServiceError("Gone.").slow_down) == (None, False)


@pytest.mark.parametrize("cls", FAMILY)
def test_only_errors_that_time_can_mend_are_left_to_airflows_retries(cls: type[ApnsError]) -> None:
    error = cls("What happened.")
    expected = cls if cls in RETRYABLE else AirflowFailException
    with pytest.raises(expected, match=r"What happened\.") as raised, failing_at_once():
        raise error
    if expected is AirflowFailException:
        assert raised.value.__cause__ is error


def test_works_as_a_decorator_again_and_again() -> None:
    @failing_at_once()
    def work(error: Exception | None) -> str:
        if error:
            raise error
        return "done"

    assert work(None) == "done"
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="no such channel"):
            work(ApnsNotFoundError("no such channel"))
    assert work(None) == "done"


@pytest.mark.parametrize("error", [ValueError("not ours"), KeyboardInterrupt(), AirflowFailException("already")])
def test_other_errors_pass_untouched(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, failing_at_once():
        raise error
    assert raised.value is error


def test_a_token_error_is_final_even_behind_a_retryable_one() -> None:
    with pytest.raises(AirflowFailException), failing_at_once():  # noqa: PT012
        try:
            raise ApnsServiceError("first")
        except ApnsServiceError as error:
            raise ApnsTokenError("then") from error
