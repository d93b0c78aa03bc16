"""Snapshot records: what is written is read, whatever is wrong with one is found, and which is taken."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from COBY.snapshots import FORM, KEPT, Snapshot, candidates, key, keys, pack, unpack
from COBY.utils.exceptions import ProcessingError

ONE = Snapshot("normalize", "raw.x.v1", 2, 7, 1000, "00ff", b"state" * 100)


def with_(**changes):
    return msgspec.structs.replace(ONE, **changes)


def code_of(value):
    with pytest.raises(ProcessingError) as caught:
        unpack(value)
    return caught.value.code


@given(st.binary(max_size=5_000), st.integers(0, 2**62), st.integers(0, 2**40))
def test_what_was_packed_comes_back(state, next_offset, number):
    one = with_(state=state, next_offset=next_offset, number=number)
    assert unpack(pack(one)) == one


def test_equal_snapshots_give_equal_bytes():
    assert pack(ONE) == pack(with_())


@pytest.mark.parametrize("cut", [0, 5, 8, 9, 40, 41, 60, -1])
def test_a_truncated_one_is_found(cut):
    assert code_of(pack(ONE)[:cut]) in ("snapshot.format", "snapshot.checksum")


def test_any_flipped_bit_is_found():
    value = pack(ONE)
    for at in range(len(value)):
        for bit in (1, 128):
            flipped = value[:at] + bytes((value[at] ^ bit,)) + value[at + 1 :]
            assert code_of(flipped).startswith("snapshot.")


def test_a_newer_form_and_what_is_none_at_all_are_named():
    value = pack(ONE)
    assert code_of(value[:8] + bytes((FORM + 1,)) + value[9:]) == "snapshot.form"
    assert code_of(None) == code_of(b"") == code_of(b"{}" * 50) == "snapshot.format"


def test_the_greatest_next_offset_comes_first_and_not_the_last_written():
    written = [
        with_(number=1, next_offset=10),
        with_(number=3, next_offset=30),
        with_(number=2, next_offset=20),
    ]
    assert [one.next_offset for one in candidates(written, 1000)] == [30, 20, 10]


def test_one_beyond_the_end_of_its_partition_is_of_another_topic_of_that_name():
    assert candidates([with_(next_offset=31), with_(next_offset=30)], 30) == [with_(next_offset=30)]


def test_four_in_turn_have_keys_of_their_own():
    written = [key(with_(number=number)) for number in range(2 * KEPT)]
    assert written[:KEPT] == written[KEPT:] == keys("normalize", "raw.x.v1", 2)
    assert len(set(written)) == KEPT == 4
    assert not set(written) & set(keys("normalize", "raw.x.v1", 1))
