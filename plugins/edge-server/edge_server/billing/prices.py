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
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import marshmallow
from marshmallow.validate import OneOf, Regexp

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
from edge_server.base.operator_files import BadOperatorFile, Entries, Number, OperatorFile, Table, Text
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


PriceFile = OperatorFile[Prices]
"""The price file, as it is now."""


def _reasonable(price: Decimal) -> None:
    if price > LARGEST_PRICE or price.normalize().as_tuple().exponent < -20:  # type: ignore[operator]
        raise marshmallow.ValidationError("write a price of a reasonable size, such as 0.023")
    if price < 0:
        raise marshmallow.ValidationError(f"a price is not negative, and this one is {price}; correct it")


class _PriceTable(marshmallow.Schema):
    """What the file states of a usage type."""

    error_messages = {"unknown": "it is unknown here; a price has price, per and by_tag"}

    price = Number(required=True, validate=_reasonable)
    per = Text(
        required=True, error_messages={"required": 'it is missing; write what the price is for, such as per = "GB"'}
    )
    by_tag = Entries(Number(validate=_reasonable))


_ENTRIES = Entries(
    Table(_PriceTable()), names=OneOf(USAGE_TYPES, error="it is not a usage type; it is one of {choices}")
)

_CURRENCY = 'write it as a code of ISO 4217, such as currency = "EUR"'


class PricesSchema(marshmallow.Schema):
    """What an operator writes into `prices.toml`: a currency, and a table for each usage type with a price."""

    class Meta:
        unknown = marshmallow.INCLUDE

    currency = Text(
        required=True,
        validate=Regexp(r"[A-Z]{3}\Z", error=_CURRENCY),
        error_messages={"required": _CURRENCY, "invalid": _CURRENCY},
    )

    # The original, as marshmallow does not keep the order of the tables.
    @marshmallow.post_load(pass_original=True)
    def _prices(self, loaded: dict[str, Any], original: dict[str, Any], **_: Any) -> Prices:
        tables = _ENTRIES.deserialize({name: table for name, table in original.items() if name != "currency"})
        return Prices(loaded["currency"], {name: _price(name, table) for name, table in tables.items()})


def _price(usage_type: str, table: dict[str, Any]) -> Price:
    if table["per"] not in PER[usage_type]:
        choices = ", ".join(PER[usage_type])
        raise marshmallow.ValidationError({usage_type: {"per": f"a price is for one of {choices}; write which"}})
    return Price(usage_type=usage_type, **table)


def in_force(file: PriceFile) -> Prices:
    """The prices there are, for an answer.

    Raises:
        Refusal: the file cannot be used.
    """
    try:
        return file.read()
    except BadOperatorFile as error:
        raise Refusal(500, "bad_prices", f"there are no costs, as the server's price file is wrong: {error}") from None
