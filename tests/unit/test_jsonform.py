"""Records as JSON and back: any record of any schema, and what is no such object."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COBY.jsonform import plain, record_of, with_floats
from COBY.records import NAMES
from COBY.utils.exceptions import ProcessingError
from schemas import schema_text
from tests.any_records import structs

SCHEMAS = {name: json.loads(schema_text(name)) for name in NAMES.values()}
RECORDS = {name: structs(schema, {}) for name, schema in SCHEMAS.items()}
ANY = st.sampled_from(sorted(RECORDS)).flatmap(lambda name: st.tuples(st.just(name), RECORDS[name]))
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def sent(record):
    """The record as a client has it that parsed JSON with the standard library, not ours."""
    return json.loads(json.dumps(plain(record)))


@settings(deadline=None)
@given(ANY)
def test_any_record_comes_back_from_json_as_it_was(case):
    name, record = case
    assert record_of(name, sent(record)) == record


@settings(deadline=None)
@given(ANY)
def test_what_stands_beside_a_record_is_passed_over(case):
    name, record = case
    beside = {"source": "coby.raw.x.v1/0", "position": "7:1", "topic": "t", "partition": 0, "offset": 12}
    assert record_of(name, beside | sent(record)) == record


@settings(deadline=None)
@given(ANY, st.data())
def test_an_object_that_lacks_a_field_or_has_another_value_is_no_record_or_that_value(case, data):
    name, record = case
    value = sent(record)
    field = data.draw(st.sampled_from(sorted(value)))
    junk = data.draw(JUNK)
    with pytest.raises(ProcessingError) as refused:
        record_of(name, {key: one for key, one in value.items() if key != field})
    assert refused.value.code == "json.record"
    found = None
    with suppress(ProcessingError):
        found = record_of(name, value | {field: junk})
    assert found is None or sent(found)[field] == junk, "it was taken for something else"


@settings(deadline=None)
@given(st.sampled_from(sorted(RECORDS)), JUNK)
def test_whatever_is_no_object_of_the_schema_is_refused_with_a_code(name, junk):
    with pytest.raises(ProcessingError) as refused:
        record_of(name, junk)
    assert refused.value.code == "json.record"


@settings(deadline=None)
@given(ANY)
def test_a_record_with_floats_is_not_taken_for_an_exact_one(case):
    name, record = case
    value = with_floats(name, sent(record))
    if value == sent(record):  # none of its decimals has a value
        return
    with pytest.raises(ProcessingError) as refused:
        record_of(name, value)
    assert refused.value.code == "json.record"
