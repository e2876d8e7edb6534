from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from webhook.ops.metrics import Counts, Durations

disable_created_metrics()  # type: ignore[no-untyped-call]

BUCKETS = (0.001, 0.5, 1.0, 15.0)
LABELS = st.sampled_from([("get", "200"), ("get", "409"), ("patch", '"\n')])
SECONDS = st.sampled_from([0.0, 0.001, 0.0011, 0.5, 1.0, 15.0, 16.0])


@given(st.lists(st.tuples(LABELS, SECONDS, st.integers(0, 3))))
def test_a_scrape_is_that_of_the_client_library(events: list[tuple[tuple[str, str], float, int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("requests", "Requests.", ("verb", "code"), ours)
    durations = Durations("seconds", "Their duration.", ("verb", "code"), BUCKETS, ours, initial=[("get", "200")])
    counter = Counter("requests", "Requests.", ("verb", "code"), registry=theirs)
    histogram = Histogram("seconds", "Their duration.", ("verb", "code"), buckets=BUCKETS, registry=theirs)
    histogram.labels("get", "200")

    for labels, seconds, number in events:
        counts.add(labels, number)
        durations.observe(labels, seconds)
        counter.labels(*labels).inc(number)
        histogram.labels(*labels).observe(seconds)

    assert sorted(generate_latest(ours).splitlines()) == sorted(generate_latest(theirs).splitlines())


def test_no_event_of_any_thread_is_lost() -> None:
    registry = CollectorRegistry()
    counts, durations = Counts("c", "C.", (), registry), Durations("d", "D.", (), BUCKETS, registry)

    def work(_: int) -> None:
        for _each in range(5_000):
            counts.add(())
            durations.observe((), 0.25)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))

    assert registry.get_sample_value("c_total") == registry.get_sample_value("d_count") == 20_000
    assert registry.get_sample_value("d_sum") == 5_000
