from __future__ import annotations

from webhook.observe.ratelimit import TokenBucket


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


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
