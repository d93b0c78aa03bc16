"""How long a channel may say nothing, and how often it is then asked for again: figures by hand."""

from itertools import pairwise

import pytest

from producers.silence import Silence, Silent

BOOK, TRADES, OTHER = ("BTCUSDT", "book"), ("BTCUSDT", "trade"), ("ETHUSDT", "book")


class Watched:
    """A watchdog; ``speak`` has channels speak each second up to a time, and returns what was due, and when."""

    def __init__(self, *channels, silence_seconds=20.0):
        self.one = Silence(lambda frame: tuple(frame.decode().split()), silence_seconds)
        self.one.expect(channels, 0.0)
        self.now = 0

    def speak(self, until, *channels, every=1):
        due = []
        while self.now < until:
            self.now += 1
            if self.now % every == 0:
                for channel in channels:
                    self.one.take(" ".join(channel).encode(), float(self.now))
            if (silent := self.one.due(float(self.now))) is not None:
                due.append((self.now, silent))
        return due


def test_a_book_is_broken_that_says_nothing_while_its_trades_come():
    watched = Watched(BOOK, TRADES)
    assert watched.speak(100, BOOK, TRADES) == []
    # 20 s after second 100, then after twice and four times as long.
    assert watched.speak(260, TRADES) == [
        (120, Silent(*BOOK, 20.0)),
        (160, Silent(*BOOK, 60.0)),
        (240, Silent(*BOOK, 140.0)),
    ]


def test_a_book_without_trades_may_rest_for_five_minutes():
    watched = Watched(BOOK, TRADES, OTHER)
    watched.speak(100, BOOK, TRADES, OTHER)
    assert watched.speak(399, OTHER) == []
    assert watched.speak(401, OTHER) == [(400, Silent(*BOOK, 300.0))]


def test_trades_may_be_missing_for_ten_minutes():
    watched = Watched(BOOK, TRADES)
    watched.speak(100, BOOK, TRADES)
    assert watched.speak(699, BOOK) == []
    assert watched.speak(700, BOOK) == [(700, Silent(*TRADES, 600.0))]


def test_trades_that_came_just_before_prove_nothing():
    watched = Watched(BOOK, TRADES, OTHER)
    watched.speak(100, BOOK, TRADES, OTHER)
    watched.speak(109, TRADES, OTHER)
    assert watched.speak(399, OTHER) == []


def test_where_nothing_comes_at_all_no_channel_is_to_blame():
    watched = Watched(BOOK, TRADES, OTHER)
    watched.speak(100, BOOK, TRADES, OTHER)
    assert watched.speak(2_000) == []


def test_who_speaks_again_is_waited_for_as_at_first():
    watched = Watched(BOOK, TRADES)
    watched.speak(100, BOOK, TRADES)
    watched.speak(170, TRADES)
    watched.speak(200, BOOK, TRADES)
    assert watched.speak(221, TRADES) == [(220, Silent(*BOOK, 20.0))]


def test_a_channel_is_asked_for_once_an_hour_at_last():
    watched = Watched(BOOK, TRADES)
    times = [at for at, _ in watched.speak(40_000, BOOK)]
    # 600, 1200, 2400 s, then 3600 each.
    assert times[:5] == [600, 1800, 4200, 7800, 11_400]
    assert {later - earlier for earlier, later in pairwise(times[2:])} == {3600}


def test_a_connection_asks_for_one_channel_each_five_seconds():
    names = [(f"C{number}USDT", "book") for number in range(4)]
    watched = Watched(*names, BOOK)
    due = watched.speak(330, BOOK)
    assert [at for at, _ in due] == [300, 305, 310, 315]
    assert {(silent.symbol, silent.channel) for _, silent in due} == set(names)


def test_where_no_frame_can_be_told_nothing_is_asked_for():
    """Confirmed at different times, and written in a way that is not known."""
    watched = Watched(BOOK, TRADES)
    watched.one.expect([OTHER], 60.0)
    assert watched.speak(5_000, ("?", "?")) == []


@pytest.mark.parametrize("channel", [BOOK, TRADES])
def test_what_is_not_listed_or_not_confirmed_is_not_waited_for(channel):
    watched = Watched(BOOK, TRADES, OTHER)
    watched.one.forget("BTCUSDT")
    assert watched.speak(5_000, OTHER) == []
    unconfirmed = Watched(OTHER)
    assert unconfirmed.speak(5_000, OTHER, channel) == []
