"""Binance's REST on localhost: levels, weights, errors."""

import pytest

from tests.simulator_client import serving


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("depth?symbol=NOSUCH", 400, -1121),
        ("depth", 400, -1102),
        ("depth?symbol=btcusdt", 400, -1100),
        ("depth?symbol=BTCUSDT&limit=many", 400, -1100),
        ("depth?symbol=BTCUSDT&limit=0", 400, -1130),
        ("exchangeInfo?symbol=NOSUCH", 400, -1121),
    ],
)
async def test_wrong_rest_questions_get_the_exchanges_codes(path: str, status: int, code: int) -> None:
    async with (
        serving(rate=100) as (_, reader),
        reader.http.get(f"{reader.base}/binance/api/v3/{path}") as answer,
    ):
        assert answer.status == status
        body = await answer.json()
    assert set(body) == {"code", "msg"}
    assert body["code"] == code
    if code == -1121:
        assert body == {"code": -1121, "msg": "Invalid symbol."}


@pytest.mark.parametrize(
    ("query", "levels", "weight"),
    [
        ("", 100, 5),
        ("&limit=5", 5, 5),
        ("&limit=500", 500, 25),
        ("&limit=1000", 1000, 50),
        ("&limit=9999", 5000, 250),
    ],
)
async def test_depth_has_the_levels_and_the_weight_of_its_limit(query: str, levels: int, weight: int) -> None:
    async with serving(rate=100) as (_, reader):
        url = f"{reader.base}/binance/api/v3/depth?symbol=BTCUSDT{query}"
        async with reader.http.get(url) as answer:
            body = await answer.json()
            assert answer.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)
    assert list(body) == ["lastUpdateId", "bids", "asks"]
    assert (len(body["bids"]), len(body["asks"])) == (levels, levels)
    assert float(body["bids"][0][0]) < float(body["asks"][0][0])


async def test_too_much_weight_in_a_minute_is_refused() -> None:
    async with serving(rate=100) as (_, reader):
        url = f"{reader.base}/binance/api/v3/depth?symbol=ETHUSDT&limit=5000"
        statuses = []
        for _ in range(50):  # twice the allowance, so that a new minute in between does not matter
            async with reader.http.get(url) as answer:
                statuses.append(answer.status)
                if answer.status == 429:
                    assert (await answer.json())["code"] == -1003
                    assert 1 <= int(answer.headers["Retry-After"]) <= 60
                    break
    assert statuses[-1] == 429


async def test_exchange_info_and_time_answer() -> None:
    async with serving(rate=100) as (_, reader):
        base = f"{reader.base}/binance/api/v3"
        async with reader.http.get(f"{base}/exchangeInfo") as answer:
            listed = (await answer.json())["symbols"]
        assert [(one["symbol"], one["baseAsset"], one["quoteAsset"], one["status"]) for one in listed] == [
            ("BTCUSDT", "BTC", "USDT", "TRADING"),
            ("ETHUSDT", "ETH", "USDT", "TRADING"),
        ]
        async with reader.http.get(f"{base}/time") as answer:
            assert list(await answer.json()) == ["serverTime"]
        async with reader.http.get(f"{base}/ping") as answer:
            assert await answer.json() == {}
