import pytest


@pytest.mark.parametrize("variable", ["CI", "BUILD_NUMBER"])
def test_what_differs_is_told_briefly(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "true")
    expected = {"report.csv": b"some,row\n" * 300}
    with pytest.raises(AssertionError) as failure:
        assert expected == {"report.csv": b"other,row\n" * 300}
    assert len(str(failure.value)) < 2_000
