"""The exchanges that are simulated, by name."""

from simulator.exchanges.binance import BinanceVenue
from simulator.exchanges.kraken import KrakenVenue
from simulator.exchanges.okx import OkxVenue
from simulator.venue import Venue

EXCHANGES: dict[str, type[Venue]] = {venue.name: venue for venue in (BinanceVenue, KrakenVenue, OkxVenue)}
