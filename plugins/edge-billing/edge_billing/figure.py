"""The plot of costs per day."""

from __future__ import annotations

import datetime as dt
import itertools
import typing
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from edge_billing.computed_cost import BillingComputedCost
from edge_billing.usage_types import USAGE_TYPES
from edge_core.errors import MissingPackage

if TYPE_CHECKING:
    import matplotlib.axes

# The palette of Okabe and Ito, which colour-blind people can tell apart, in print too.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")

_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_GREY = "#888888"

_LIGHTER = 0.55
"""How far towards white the colour of an estimate is. Transparent, it would show the grid."""

_MANY_DAYS = 62
"""With more days than this the bars have no gaps, which would blur."""


def draw(
    costs: Iterable[BillingComputedCost],
    date_range: tuple[dt.date, dt.date],
    organization: str,
    ax: matplotlib.axes.Axes | None = None,
) -> matplotlib.axes.Axes:
    """Draw costs as a bar for each day, stacked by usage type.

    Args:
        costs: records of costs; those without a day or usage type are left out.
        date_range: the first and the last day of the axis.
        organization: short name, for the title.
        ax: axes to draw into; by default those of a new figure.

    Raises:
        MissingPackage: matplotlib is not installed.

    Returns:
        The axes.
    """
    try:
        from matplotlib.patches import Patch
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "a plot needs matplotlib, which is not installed; run: python -m pip install matplotlib", name=error.name
        ) from None
    axes: Any = ax
    if axes is None:
        import matplotlib.pyplot

        axes = matplotlib.pyplot.figure(figsize=(9, 4.5), layout="constrained").add_subplot()
    costs = list(costs)
    sums = _sums(costs)
    colours = dict(zip(sums, itertools.cycle(_COLOURS), strict=False))
    tops: dict[dt.date, float] = {}
    for name, by_day in sums.items():
        _stack(axes, by_day, colours[name], tops, 0.82 if (date_range[1] - date_range[0]).days < _MANY_DAYS else 1.0)
    _label(axes, costs, date_range, organization)
    _show_days(axes, *date_range)
    axes.set_ylim(0, max(tops.values(), default=0) * 1.08 or 1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    handles = [
        Patch(color=colours[name], label=f"{_title(name)}  {_money(_total(by_day))}") for name, by_day in sums.items()
    ]
    if any(cost.estimated for cost in costs):
        handles.append(Patch(color=_lighter(_GREY), label="lighter: still estimated"))
    if handles:
        # Below the plot, where it can hide no bar.
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False)
    return typing.cast("matplotlib.axes.Axes", axes)


_Pair = list[Decimal]
"""Final and estimated cost."""


def _sums(costs: list[BillingComputedCost]) -> dict[str, dict[dt.date, _Pair]]:
    """Costs by usage type and day, the usage types in the order of their table."""
    sums: dict[str, dict[dt.date, _Pair]] = {}
    for cost in costs:
        if cost.usage_type is not None and cost.billing_date is not None:
            pair = sums.setdefault(cost.usage_type, {}).setdefault(cost.billing_date, [Decimal(0), Decimal(0)])
            pair[bool(cost.estimated)] += cost.computed_cost
    order = list(USAGE_TYPES)
    return dict(sorted(sums.items(), key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order)))


def _stack(ax: Any, by_day: dict[dt.date, _Pair], colour: str, tops: dict[dt.date, float], width: float) -> None:
    """Draw the bars of a usage type on top of those drawn already."""
    for estimated in (False, True):
        heights = {day: float(pair[estimated]) for day, pair in by_day.items() if pair[estimated]}
        ax.bar(
            list(heights),
            list(heights.values()),
            bottom=[tops.get(day, 0.0) for day in heights],
            width=width,
            color=_lighter(colour) if estimated else colour,
            linewidth=0,
        )
        for day, height in heights.items():
            tops[day] = tops.get(day, 0.0) + height


def _label(ax: Any, costs: list[BillingComputedCost], days: tuple[dt.date, dt.date], organization: str) -> None:
    currency = " and ".join(sorted({cost.currency for cost in costs if cost.currency}))
    total = sum((cost.computed_cost for cost in costs), Decimal(0))
    ax.set_title(f"Cost per day of {organization}", loc="left", fontweight="bold")
    subtitle = f"{_span(*days)}: {_money(total)} {currency}" if costs else _span(*days)
    ax.set_title(subtitle, loc="right", fontsize="medium", color="#444444")
    if costs:
        ax.set_ylabel(f"{currency} per day" if currency else "cost per day")
    else:
        ax.text(0.5, 0.5, "no costs in these days", transform=ax.transAxes, ha="center", va="center", color=_GREY)
        ax.set_yticks([])


def _show_days(ax: Any, first: dt.date, last: dt.date) -> None:
    from matplotlib import dates

    half = dt.timedelta(hours=12)
    midnight = dt.time()  # on which a day's bar is centred
    ax.set_xlim(dt.datetime.combine(first, midnight) - half, dt.datetime.combine(last, midnight) + half)
    count = (last - first).days + 1
    if count > 2 * _MANY_DAYS:
        locator = dates.AutoDateLocator(maxticks=9)  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
        return
    shown = [first + dt.timedelta(days=n) for n in range(0, count, -(-count // 11))]
    # Day and month as in speech, in English whatever the locale: 1 Mar.
    labels = [f"{day.day} {_MONTHS[day.month]}" for day in shown]
    ax.set_xticks([dt.datetime.combine(day, midnight) for day in shown], labels)


def _lighter(colour: str) -> str:
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * _LIGHTER):02x}" for part in parts)


def _total(by_day: dict[dt.date, _Pair]) -> Decimal:
    return sum((part for pair in by_day.values() for part in pair), Decimal(0))


def _title(usage_type: str) -> str:
    return USAGE_TYPES[usage_type].title if usage_type in USAGE_TYPES else usage_type


def _money(value: Decimal) -> str:
    """A sum of money with two places, or with more if it would show as 0.00."""
    if value and abs(value) < Decimal("0.01"):
        return f"{value:.2g}" if abs(value) < Decimal("0.0001") else f"{value:.4f}"
    return f"{value:,.2f}"


def _span(first: dt.date, last: dt.date) -> str:
    if first == last:
        return _written(first)
    if first.year == last.year:
        return f"{first.day} {_MONTHS[first.month]} to {_written(last)}"
    return f"{_written(first)} to {_written(last)}"


def _written(day: dt.date) -> str:
    return f"{day.day} {_MONTHS[day.month]} {day.year}"
