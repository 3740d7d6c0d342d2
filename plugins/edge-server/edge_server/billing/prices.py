"""The operator's price file: what a unit of each kind of usage costs.

`prices.toml` in the data folder; without it nothing has a price, and so nothing has a cost. It is
read again when it has changed.

    currency = "EUR"

    [object_storage]
    price = 0.023
    per = "GB-month"
"""

from __future__ import annotations

import decimal
import re
import threading
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from edge_billing.usage_types import (
    API_REQUESTS,
    APP_HOURS,
    OBJECT_STORAGE,
    TRANSFER_IN,
    TRANSFER_OUT,
    USAGE_TYPES,
    UsageType,
)
from edge_billing.wire import Price, PriceList
from edge_server.base.problems import Refusal

FILE_NAME = "prices.toml"

COST_PLACES = Decimal("0.0000000001")
"""What a day's cost is rounded to, half to even."""

HOURS_PER_MONTH = 730
"""What a month is taken to have, so that a GB costs the same in each: a twelfth of 8760."""

LARGEST_PRICE = Decimal(10) ** 12

_BYTES = {"byte": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 1 << 10, "MiB": 1 << 20}
_BYTES |= {"GiB": 1 << 30, "TiB": 1 << 40}

_STORAGE = {f"{name}-hour": count for name, count in _BYTES.items()}
_STORAGE |= {f"{name}-month": count * HOURS_PER_MONTH for name, count in _BYTES.items()}

PER: dict[str, dict[str, int]] = {
    OBJECT_STORAGE.name: _STORAGE,
    TRANSFER_IN.name: _BYTES,
    TRANSFER_OUT.name: _BYTES,
    API_REQUESTS.name: {"request": 1, "thousand requests": 10**3, "million requests": 10**6},
    APP_HOURS.name: {"hour": 1},
}
"""Usage type -> what a price can be for -> how many units that is."""

_CURRENCY = re.compile("[A-Z]{3}")


class BadPrices(Exception):
    """The price file cannot be used; the message is one sentence for its operator."""


class Prices(NamedTuple):
    """The prices in force.

    Attributes:
        currency: code of ISO 4217.
        prices: price by usage type.
    """

    currency: str | None
    prices: Mapping[str, Price]

    def cost(self, usage: UsageType, tag: str, amount: int) -> Decimal | None:
        """What `amount`, as the server counts, costs; None if it has no price."""
        price = self.prices.get(usage.name)
        if price is None:
            return None
        each = price.by_tag.get(tag, price.price)
        with decimal.localcontext(prec=80):
            cost = amount * each / (usage.counted * PER[usage.name][price.per])
            return cost.quantize(COST_PLACES, decimal.ROUND_HALF_EVEN)

    def record(self) -> PriceList:
        """The prices as they go out."""
        return PriceList(currency=self.currency, prices=list(self.prices.values()))


NONE = Prices(None, {})


class PriceFile:
    """The price file, as it is now.

    Args:
        path: the file; None where there is none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._prices = NONE

    def read(self) -> Prices:
        """The prices in it; none if it is not there.

        Raises:
            BadPrices: it cannot be used.
        """
        if self._path is None:
            return NONE
        with self._lock:
            try:
                found = self._path.stat()
                seen = (found.st_mtime_ns, found.st_size, found.st_ino)
                if seen != self._seen:
                    self._prices = parse(self._path.read_bytes())
                    self._seen = seen
            except FileNotFoundError:
                self._seen, self._prices = None, NONE
            except OSError as error:
                raise BadPrices(f"{FILE_NAME} cannot be read ({error.strerror}); make it readable") from None
            return self._prices

    def require(self) -> Prices:
        """The same for an answer.

        Raises:
            Refusal: it cannot be used.
        """
        try:
            return self.read()
        except BadPrices as error:
            raise Refusal(
                500, "bad_prices", f"there are no costs, as the server's price file is wrong: {error}"
            ) from None


def parse(content: bytes) -> Prices:
    """The prices that a file's content states.

    Raises:
        BadPrices: it states what cannot be.
    """
    try:
        # As decimals, or 0.1 would already not be what was written.
        stated = tomllib.loads(content.decode(), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, decimal.InvalidOperation, RecursionError) as error:
        raise BadPrices(f"{FILE_NAME} is not TOML ({error}); correct it") from None
    currency = stated.pop("currency", None)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise _bad("currency", 'state it as a code of ISO 4217, such as currency = "EUR"')
    return Prices(currency, {name: _price(name, entry) for name, entry in stated.items()})


def _price(name: str, entry: Any) -> Price:
    if name not in USAGE_TYPES:
        raise _bad(name, f"there is no such usage type; it is one of {', '.join(USAGE_TYPES)}")
    if not isinstance(entry, dict):
        raise _bad(name, f"write it as a table [{name}] with price and per")
    unknown = sorted(set(entry) - {"price", "per", "by_tag"})
    if unknown:
        raise _bad(f"{name}.{unknown[0]}", "there is no such entry; a price has price, per and by_tag")
    per = entry.get("per")
    if not isinstance(per, str) or per not in PER[name]:
        raise _bad(f"{name}.per", f"state what the price is for: one of {', '.join(PER[name])}")
    by_tag = entry.get("by_tag", {})
    if not isinstance(by_tag, dict):
        raise _bad(f"{name}.by_tag", 'write it as a table of prices, such as {"edge.medium" = 0.20}')
    return Price(
        usage_type=name,
        price=_number(f"{name}.price", entry.get("price")),
        per=per,
        by_tag={tag: _number(f"{name}.by_tag.{tag}", price) for tag, price in by_tag.items()},
    )


def _number(where: str, stated: Any) -> Decimal:
    if isinstance(stated, bool) or not isinstance(stated, (int, Decimal)):
        raise _bad(where, "state the price as a number, such as 0.023")
    price = Decimal(stated)
    if not price.is_finite() or price > LARGEST_PRICE or price.normalize().as_tuple().exponent < -20:  # type: ignore[operator]
        raise _bad(where, "state the price as a number of a reasonable size, such as 0.023")
    if price < 0:
        raise _bad(where, f"a price is not negative, and this one is {stated}; correct it")
    return price


def _bad(where: str, said: str) -> BadPrices:
    return BadPrices(f"{FILE_NAME}: {where}: {said}")
