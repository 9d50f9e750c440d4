from __future__ import annotations

import inspect
import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_apns import exceptions
from airflow_provider_apns.exceptions import ApnsError, ApnsNotFoundError, ApnsServiceError, failing_at_once

FAMILY = [
    cls
    for _, cls in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(cls, ApnsError) and cls is not ApnsError
]


def test_time_can_fix_a_few_of_the_family() -> None:
    fixed = [cls.__name__ for cls in FAMILY if cls.retryable]
    assert fixed == ["ApnsNetworkError", "ApnsReportError", "ApnsServiceError", "ApnsWriteError"]


@pytest.mark.parametrize("cls", FAMILY)
def test_an_error_survives_its_way_through_airflows_database(cls: type[ApnsError]) -> None:
    error = cls("What happened: ümläut, 'quotes', 100 %.")
    rebuilt = ApnsError.from_event(json.loads(json.dumps(error.to_event())))
    assert (type(rebuilt), str(rebuilt)) == (cls, str(error))


def test_a_class_of_another_version_of_the_provider_may_be_retried() -> None:
    rebuilt = ApnsError.from_event({"error": "ApnsErrorOfTheFuture", "message": "Something new."})
    assert (type(rebuilt), str(rebuilt)) == (ApnsServiceError, "Something new.")


@pytest.mark.parametrize("cls", FAMILY)
def test_only_errors_that_time_can_fix_are_left_to_airflows_retries(cls: type[ApnsError]) -> None:
    error = cls("What happened.")
    expected = cls if cls.retryable else AirflowFailException
    with pytest.raises(expected, match=r"What happened\.") as raised, failing_at_once():
        raise error
    assert error in (raised.value, raised.value.__cause__)


def test_works_as_a_decorator_again_and_again() -> None:
    @failing_at_once()
    def work(error: Exception | None) -> str:
        if error:
            raise error
        return "done"

    for _ in range(2):
        with pytest.raises(AirflowFailException, match="no such channel"):
            work(ApnsNotFoundError("no such channel"))
        assert work(None) == "done"


@pytest.mark.parametrize("error", [ValueError("not ours"), KeyboardInterrupt(), AirflowFailException("already")])
def test_other_errors_pass_untouched(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, failing_at_once():
        raise error
    assert raised.value is error
