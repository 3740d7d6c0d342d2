"""The subsystem of billing."""

from __future__ import annotations

from edge_server.base import clock
from edge_server.billing import closing, meter, prices, routes, usage
from edge_server.web.context import OwnContext
from edge_server.web.parts import Parts


def server(context: OwnContext) -> Parts:
    """What organizations use, and what that costs."""
    price_file: prices.PriceFile = context.operator_file(prices.FILE_NAME, prices.PricesSchema(), prices.NONE)
    counts = meter.Meter(context)
    context.on_request(counts.count)
    context.every(meter.FLUSH_SECONDS, "usage", counts.flush, at_end=True)
    context.engines.machines.report_app_time = usage.report_app_time
    even = closing.EvenClock()

    def close_months() -> None:
        if even.runs_evenly():
            closing.close_ended(context, price_file, clock.now())

    context.every(closing.INTERVAL, "closing of months", close_months)
    context.every(closing.PRUNING_INTERVAL, "pruning", lambda: closing.prune(context), alone=True)
    context.on_organization_closing(
        lambda session, organization_id: usage.note_end(session, organization_id, clock.now())
    )

    def measure_last(organization_id: int) -> None:
        # What it stored shall be known when its versions are gone; what is counted later finds none to count for.
        counts.flush()
        closing.measure_up_to(context, organization_id, clock.now())

    context.on_organization_removed(measure_last)
    return context.subsystem(routes.routes(context, price_file, counts))
