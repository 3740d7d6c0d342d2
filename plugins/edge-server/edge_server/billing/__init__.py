"""The subsystem of billing."""

from __future__ import annotations

from edge_server.base import clock
from edge_server.billing import closing, meter, prices, routes
from edge_server.web.context import Context
from edge_server.web.parts import Parts


def server(context: Context) -> Parts:
    """What organizations use, and what that costs."""
    price_file: prices.PriceFile = context.operator_file(prices.FILE_NAME, prices.PricesSchema(), prices.NONE)
    counts = meter.Meter(context)
    context.on_request(counts.count)
    context.every(meter.FLUSH_SECONDS, "usage", counts.flush, at_end=True)
    even = closing.EvenClock()

    def close_months() -> None:
        if even.runs_evenly():
            closing.close_ended(context, price_file, clock.now())

    context.every(closing.INTERVAL, "closing of months", close_months)
    # What it stored shall be known when its versions are gone; what is counted later finds none to count for.
    context.on_organization_closing(closing.measure_now)
    context.on_organization_removed(lambda _organization_id: counts.flush())
    return context.subsystem(routes.routes(context, price_file, counts))
