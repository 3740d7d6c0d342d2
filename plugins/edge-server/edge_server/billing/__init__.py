"""The subsystem of billing."""

from __future__ import annotations

from edge_server.base import clock
from edge_server.billing import closing, metering, prices, routes
from edge_server.web.context import OwnContext, Parts


def server(context: OwnContext) -> Parts:
    """Billing."""
    engines = context.engines
    price_file = prices.PriceFile(engines.folder / prices.FILE_NAME)
    price_file.read()
    meter = metering.Meter(engines.database)
    engines.legacy.update(prices=price_file, meter=meter)
    context.on_request(meter.count)
    context.every(metering.FLUSH_SECONDS, "usage", meter.flush, at_end=True)
    even = closing.EvenClock()

    def close_months() -> None:
        if even.runs_evenly():
            closing.close_ended(engines.database, price_file, clock.now())

    context.every(closing.INTERVAL, "closing of months", close_months)
    return context.subsystem(routes.routes)
