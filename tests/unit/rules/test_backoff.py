from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webhook.rules.timing import delay


def test_no_failure_waits_not_at_all() -> None:
    assert delay(0, 0.5) == 0.0


def test_the_wait_doubles_with_each_failure_up_to_the_cap() -> None:
    assert [delay(failures, 0.0, base=1.0, cap=10.0) for failures in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@given(st.integers(1, 100_000), st.floats(0.0, 1.0, exclude_max=True))
def test_jitter_stays_in_the_upper_half(failures: int, jitter: float) -> None:
    ceiling = delay(failures, 0.0, base=0.5, cap=30.0)

    assert ceiling / 2 <= delay(failures, jitter, base=0.5, cap=30.0) <= ceiling <= 30.0
