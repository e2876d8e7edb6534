from __future__ import annotations

from enum import StrEnum
from io import StringIO

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import UsageError
from webhook.files.yaml import DEEPEST_NESTING, StreamError, dump, read_stream


def value(text: str) -> object:
    ((_, _, document),) = read_stream(text)
    return document


def refusal(text: str) -> str:
    with pytest.raises(StreamError) as caught:
        list(read_stream(text))
    return f"{caught.value.document} {caught.value}"


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("word", "word"),
        ("", None),
        ("~", None),
        ("Null", None),
        ("'null'", "null"),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("y", True),
        ("On", True),
        ("NO", False),
        ("yES", "yES"),
        ("0", 0),
        ("-12", -12),
        ("1_000", 1000),
        ("0644", 0o644),
        ("0o644", 0o644),
        ("0x1F", 31),
        ("0b11", 3),
        ("0x_", "0x_"),
        ("1.10", 1.1),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        ("1.2.3", "1.2.3"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1:30", "1:30"),
        ("+", "+"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_scalar_is_read_as_kubernetes_reads_it(scalar: str, expected: object) -> None:
    read = value(f"a: {scalar}\n")

    assert read == {"a": expected}
    assert type(read["a"]) is type(expected)


def test_documents_are_counted_and_empty_ones_are_null() -> None:
    assert list(read_stream("---\na: 1\n---\n---\n- b\n")) == [(1, 2, {"a": 1}), (2, 4, None), (3, 5, ["b"])]
    assert list(read_stream("")) == []
    assert list(read_stream("# only a comment\n")) == []


def test_an_alias_repeats_a_value_and_a_merge_key_takes_it_in() -> None:
    text = "a: &a {x: 1, y2: 2}\nb: *a\nc: {<<: *a, x: 3}\nd: {<<: [{x: 5}, *a]}\n"

    assert value(text) == {
        "a": {"x": 1, "y2": 2},
        "b": {"x": 1, "y2": 2},
        "c": {"x": 3, "y2": 2},
        "d": {"x": 5, "y2": 2},
    }


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]

    assert refusal("\n".join(lines)).startswith("1 has more than 1000000 values once its aliases are written out")


@pytest.mark.parametrize("nested", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000 + "a"])
def test_nesting_without_end_is_refused(nested: str) -> None:
    assert refusal(nested) == f"1 is nested more than {DEEPEST_NESTING} levels deep (line 1)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n---\nb: 1\nb: 2\n", "2 repeats a key of the same mapping (line 4)"),
        ("? [a]\n: 1\n", "1 has a key that is a list or a mapping: a key must be text (line 1)"),
        ("a: &x 1\n*x : 2\n", "1 has an alias for a key: write the key out (line 2)"),
        ("a: &x [*x]\n", "1 has an alias without an anchor before it: quote text that begins with * (line 1)"),
        ("a: {<<: 1}\n", "1 has a << that does not name a mapping (line 1)"),
        ("a: !x 1\n", "1 has a value with a tag that Kubernetes objects do not support (line 1)"),
        ("a: .inf\n", "1 has an infinite number or NaN, which JSON does not allow (line 1)"),
        (
            "a: 1\n---\na: b: c\n",
            "2 is not valid YAML: mapping values are not allowed in this context (line 3, column 5)",
        ),
        ("a: \0\n", "1 is not valid YAML: it contains a character that YAML does not allow (line 1)"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_document_and_line(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "data: *marker-hunter2",
        "data: !marker-hunter2 x",
        "marker-hunter2: 1\nmarker-hunter2: 2",
        "a: marker-hunter2: b",
    ],
)
def test_no_message_quotes_the_document_which_may_be_a_secret(text: str) -> None:
    assert "hunter2" not in refusal(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_what_is_written_is_read_again(document: object) -> None:
    file = StringIO()

    dump([document], file)

    assert [each.value for each in read_stream(file.getvalue())] == [document] or document == {"<<": None}


@pytest.mark.parametrize(
    "text", ["y", "n", "on", "No", "1e3", "0o7", "2024-01-01", "null", "~", "1_0", "1:30", "=", ""]
)
def test_text_that_some_reader_takes_for_something_else_is_quoted(text: str) -> None:
    file = StringIO()

    dump([{"a": text}], file)

    assert file.getvalue() == f'a: "{text}"\n'


def test_common_text_is_not_quoted() -> None:
    file = StringIO()

    dump([{"apiVersion": "apps/v1", "image": "ghcr.io/a/b:1.2", "script": "#!/bin/sh\necho hi\n"}], file)

    assert file.getvalue() == "apiVersion: apps/v1\nimage: ghcr.io/a/b:1.2\nscript: |\n  #!/bin/sh\n  echo hi\n"
    assert yaml.safe_load(file.getvalue())["script"] == "#!/bin/sh\necho hi\n"


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UsageError, match="incomplete character"):
        dump([{"a": "\ud800"}], StringIO())


def test_a_member_of_an_enumeration_of_words_is_written_as_its_word() -> None:
    class Word(StrEnum):
        NO = "no"
        PLAIN = "image-not-matched"

    file = StringIO()
    dump([{"a": Word.NO, "b": Word.PLAIN}], file)
    assert file.getvalue() == 'a: "no"\nb: image-not-matched\n'
