"""The exchanges that are simulated, by name."""

from simulator.exchanges.binance import BinanceVenue
from simulator.exchanges.bitfinex import BitfinexVenue
from simulator.exchanges.bybit import BybitVenue
from simulator.exchanges.coinbase import CoinbaseVenue
from simulator.exchanges.gateio import GateioVenue
from simulator.exchanges.huobi import HuobiVenue
from simulator.exchanges.kraken import KrakenVenue
from simulator.exchanges.kucoin import KucoinVenue
from simulator.exchanges.mexc import MexcVenue
from simulator.exchanges.okx import OkxVenue
from simulator.venue import Venue

EXCHANGES: dict[str, type[Venue]] = {
    venue.name: venue
    for venue in (
        BinanceVenue,
        BitfinexVenue,
        BybitVenue,
        CoinbaseVenue,
        GateioVenue,
        HuobiVenue,
        KrakenVenue,
        KucoinVenue,
        MexcVenue,
        OkxVenue,
    )
}
