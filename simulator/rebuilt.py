"""A recorded book brought forward by the depth frames after it, its levels as the recorded text. Pure."""

from decimal import Decimal

from simulator.wire import Book, Frame


class RebuiltBook:
    """Begins with a recorded REST body, or with a snapshot among the frames (`is_framed`).

    keeps: levels a side after each frame, for exchanges that are silent about levels pushed out; None: all.
    """

    def __init__(self, body: Book, *, is_framed: bool = False, keeps: int | None = None) -> None:
        self.body, self.is_framed, self._keeps = body, is_framed, keeps
        self.sequence = body.sequence
        # First id of the last depth frame sent, whether it was older than the body or not.
        self.sent_first_id = 0
        self.fetched = False
        self._bids, self._asks = dict(body.bids), dict(body.asks)

    @classmethod
    def of_frame(cls, frame: Frame, keeps: int | None) -> "RebuiltBook":
        body = Book(frame.symbol, frame.last_id, frame.bids, frame.asks)
        return cls(body, is_framed=True, keeps=keeps)

    def body_fits(self, next_first_id: int | None = None) -> bool:
        """A client that buffered the last frame sent (or the one about to be) can join the body to it."""
        first_id = self.sent_first_id if next_first_id is None else next_first_id
        return first_id <= self.body.sequence + 1

    def apply(self, frame: Frame) -> None:
        """Frames up to a body's sequence are in it already; a snapshot among the frames lies where it is."""
        self.sent_first_id = frame.first_id
        if frame.last_id <= self.sequence and not self.is_framed:
            return
        for side, changes in ((self._bids, frame.bids), (self._asks, frame.asks)):
            for price, size in changes:
                if size.strip("0."):
                    side[price] = size
                else:
                    side.pop(price, None)
        self.sequence = frame.last_id
        if self._keeps is not None and max(len(self._bids), len(self._asks)) > self._keeps:
            book = self.written()
            self._bids, self._asks = dict(book.bids), dict(book.asks)

    def written(self) -> Book:
        bids = sorted(self._bids.items(), key=_price, reverse=True)
        asks = sorted(self._asks.items(), key=_price)
        return Book(self.body.symbol, self.sequence, tuple(bids[: self._keeps]), tuple(asks[: self._keeps]))


def _price(level: tuple[str, str]) -> Decimal:
    return Decimal(level[0])
