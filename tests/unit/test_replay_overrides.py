"""Other settings to recompute under: what may differ, and what becomes of the settings of then."""

import pytest

from COBY.config import load_config
from COBY.utils.exceptions import ReplayError
from replay.overrides import Overrides
from replay.settings import Taken

THEN = load_config(
    {"SYMBOLS": "BTCUSDT,ETHUSDT,SOLUSDT", "BUCKET_SIZE_SOLUSDT": "0.05", "UPDATE_FREQUENCY": "0.2"}
)


def test_only_what_is_named_differs():
    texts = {
        "BTC_BUCKET_SIZE": "20",
        "BUCKET_SIZE_SOLUSDT": "0.1",
        "HEATMAP_DEPTH": "7",
        "UPDATE_FREQUENCY": "0.4",
    }
    other = Overrides(texts).applied(THEN)
    sizes = [other.get_bucket_size(symbol) for symbol in THEN.symbols]
    assert sizes == [20.0, 1.0, 0.1]
    assert (other.heatmap_depth, other.update_frequency_us) == (7, 400_000)
    assert (other.exchanges, other.symbols) == (THEN.exchanges, THEN.symbols)
    same = load_config(
        {"SYMBOLS": "BTCUSDT,ETHUSDT,SOLUSDT", "BUCKET_SIZE_SOLUSDT": "0.1", "BTC_BUCKET_SIZE": "20",
         "HEATMAP_DEPTH": "7", "UPDATE_FREQUENCY": "0.4", "STORE_INTERVAL": "2"}
    )  # fmt: skip
    assert other.settings_hash == same.settings_hash


def test_a_symbol_s_own_size_counts_before_that_of_its_beginning():
    other = Overrides({"BTC_BUCKET_SIZE": "20", "BUCKET_SIZE_BTCUSDT": "5"}).applied(THEN)
    assert other.get_bucket_size("BTCUSDT") == 5.0


def test_each_task_keeps_where_it_took_settings_up():
    later = load_config({"SYMBOLS": "BTCUSDT"})
    taken = {"book.v1/2": [Taken(0, THEN), Taken(70, later)]}
    (found,) = Overrides({"HEATMAP_DEPTH": "7"}).over(taken).values()
    assert [(one.next_offset, one.config.heatmap_depth, one.config.symbols) for one in found] == [
        (0, 7, THEN.symbols),
        (70, 7, ("BTCUSDT",)),
    ]


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("SYMBOLS", "BTCUSDT", "HEATMAP_DEPTH UPDATE_FREQUENCY"),
        ("EXCHANGES", "okx", "BTC_BUCKET_SIZE ETH_BUCKET_SIZE BUCKET_SIZE_<SYMBOL>"),
        ("DB_HOST", "here", "HEATMAP_DEPTH"),
        ("BUCKET_SIZE_", "1", "HEATMAP_DEPTH"),
        ("HEATMAP_DEPTH", "0", "1 to 10000"),
        ("BTC_BUCKET_SIZE", "0.001", "0.01"),
        ("UPDATE_FREQUENCY", "2", "0.01 to 1"),
    ],
)
def test_what_may_not_differ_is_refused_with_what_may(name, text, shown):
    with pytest.raises(ReplayError) as caught:
        Overrides({name: text})
    assert caught.value.code == "replay.override"
    assert shown in caught.value.detail().replace(",", "")


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("UPDATE_FREQUENCY", "0.5", "a multiple of 0.2"),
        ("UPDATE_FREQUENCY", "0.1", "a multiple of 0.2"),
        ("BUCKET_SIZE_XRPUSDT", "1", "BTCUSDT ETHUSDT SOLUSDT"),
    ],
)
def test_what_does_not_fit_the_settings_of_then_is_refused(name, text, shown):
    with pytest.raises(ReplayError) as caught:
        Overrides({name: text}).check([THEN])
    assert caught.value.code == "replay.override"
    assert shown in caught.value.detail()


def test_what_fits_is_not():
    Overrides({"UPDATE_FREQUENCY": "0.6", "BUCKET_SIZE_SOLUSDT": "1", "BTC_BUCKET_SIZE": "1"}).check([THEN])
