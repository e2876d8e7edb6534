from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.clock import Clock
from webhook.rules.timing import TokenBucket, delay


def test_no_failure_waits_not_at_all() -> None:
    assert delay(0, 0.5) == 0.0


def test_the_wait_doubles_with_each_failure_up_to_the_cap() -> None:
    assert [delay(failures, 0.0, base=1.0, cap=10.0) for failures in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@given(st.integers(1, 100_000), st.floats(0.0, 1.0, exclude_max=True))
def test_jitter_stays_in_the_upper_half(failures: int, jitter: float) -> None:
    ceiling = delay(failures, 0.0, base=0.5, cap=30.0)

    assert ceiling / 2 <= delay(failures, jitter, base=0.5, cap=30.0) <= ceiling <= 30.0


def passed(bucket: TokenBucket, events: int) -> int:
    return sum(bucket.take() for _ in range(events))


def test_a_burst_passes_and_no_more() -> None:
    assert passed(TokenBucket(1, 3, Clock()), 10) == 3


def test_the_bucket_fills_with_time_but_not_beyond_its_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(2, 3, clock)
    passed(bucket, 10)
    clock.now += 1
    assert passed(bucket, 10) == 2
    clock.now += 1000
    assert passed(bucket, 10) == 3


def test_events_that_do_not_pass_take_nothing() -> None:
    clock = Clock()
    bucket = TokenBucket(1, 1, clock)
    assert bucket.take()
    for _ in range(3):
        clock.now += 0.25
        assert not bucket.take()
    clock.now += 0.25
    assert bucket.take()


def test_what_has_no_token_yet_is_told_when_it_will() -> None:
    clock = Clock()
    bucket = TokenBucket(2, 2, clock)
    assert [bucket.reserve() for _ in range(5)] == [0.0, 0.0, 0.5, 1.0, 1.5]
    clock.now += 1.0
    assert bucket.reserve() == 1.0


def test_over_any_time_no_more_is_reserved_than_the_rate_and_the_burst_allow() -> None:
    clock = Clock()
    bucket = TokenBucket(10, 5, clock)
    passes: list[float] = []
    while clock.now < 110.0:
        passes.append(clock.now + bucket.reserve())
        clock.now += 0.07
    assert sum(moment < 110.0 for moment in passes) <= 10 * 10 + 5
    assert all(sum(start <= moment < start + 1.0 for moment in passes) <= 10 + 5 for start in range(100, 110))
