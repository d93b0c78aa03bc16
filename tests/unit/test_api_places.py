"""Places for large answers: so many at once, and an end to waiting."""

import asyncio

import pytest

from api import places
from api.places import Places
from COBY.utils.exceptions import ServiceError


async def test_who_finds_no_place_waits_for_one_and_is_told_when_it_takes_too_long(monkeypatch):
    monkeypatch.setattr(places, "WAIT_SECONDS", 0.05)
    there = Places(2)
    async with there.one(), there.one():
        with pytest.raises(ServiceError) as refused:
            async with there.one():
                raise AssertionError("a third of two")
        assert refused.value.code == "api.busy"
    async with there.one(), there.one():
        pass


async def test_places_come_back_whatever_happens_in_them():
    there, order = Places(1), []

    async def work(number):
        async with there.one():
            order.append(number)
            await asyncio.sleep(0)
            raise ValueError(number)

    done = await asyncio.gather(*(work(number) for number in range(5)), return_exceptions=True)
    assert [type(one) for one in done] == [ValueError] * 5
    assert order == [0, 1, 2, 3, 4]
