"""Tables of the pages are generated: facts come from the code, words from the page."""

from __future__ import annotations

import pytest

from tools.tables import alerts, configuration, flags, metrics, sentence, status_fields, table

HEAD = ("name", "type", "meaning")
PAGE = table(HEAD, [("`b`", "gauge", "the second"), ("`a`", "", r"the first \| or not")])


def test_words_of_the_page_are_kept_and_facts_are_those_of_the_code() -> None:
    assert table(HEAD, [("`a`", "counter"), ("`b`", "")], PAGE) == (
        "\n| name | type | meaning |\n|---|---|---|\n"
        "| `a` | counter | the first \\| or not |\n| `b` | | the second |\n\n"
    )


def test_the_order_may_be_that_of_the_page_and_what_is_new_comes_last() -> None:
    rows = [("`new`", "info"), ("`a`", ""), ("`b`", "gauge")]
    written = table(HEAD, rows, PAGE, ordered_by_hand=True, new={"`new`": "words of the code"})
    assert [line.split("|")[1].strip() for line in written.split("\n")[3:6]] == ["`b`", "`a`", "`new`"]
    assert "| `new` | info | words of the code |" in written


def test_what_the_code_no_longer_has_leaves_the_page() -> None:
    assert "`b`" not in table(HEAD, [("`a`", "gauge")], PAGE)


def test_a_row_without_words_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="no text for `c`: add the row to the table by hand"):
        table(HEAD, [("`c`", "gauge")], PAGE)


def test_a_sentence_lists_every_value() -> None:
    assert sentence("`effect` is", ["a", "b", "c"]) == "\n`effect` is `a`, `b` or `c`.\n\n"


def test_a_new_flag_and_a_new_metric_have_the_words_of_the_code() -> None:
    row = (
        "| `--workers` | `PULLSECRETS_WORKERS` | `16` | 1 to 64 | "
        "maximum number of namespaces that are reconciled in parallel |"
    )
    assert row in flags("sync", "").splitlines()
    line = "| `pullsecrets_sync_watch_restarts_total` | counter | `resource`, `cause` | watches that broke, by resource"
    assert f"{line} and cause |" in metrics("sync", "").splitlines()


@pytest.mark.parametrize("generated", [alerts, configuration, status_fields])
def test_what_needs_words_of_a_person_is_not_generated_without_them(generated: object) -> None:
    assert callable(generated)
    with pytest.raises(ValueError, match="the page has no text for"):
        generated("")
