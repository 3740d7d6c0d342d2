"""`edge billing`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_billing.figure import draw
from edge_billing.usage_types import CATEGORIES, CLASSIFICATIONS, SERVICES, USAGE_TYPES
from edge_cli import output
from edge_core.errors import BadEntry, MissingPackage
from edge_core.plugin import OpenSession

plugin_api = 1

_F = TypeVar("_F", bound=Callable[..., Any])

USAGE_COLUMNS = ("id", "billing_date", "usage_type", "cost_allocation_tag", "usage_quantity", "usage_quantity_units")
COST_COLUMNS = ("id", "billing_date", "category", "usage_type", "computed_cost", "currency")
_NUMBERS = ("id", "usage_quantity", "computed_cost")


class _Day(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic since click 8.4
    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.date:
        try:
            return value if isinstance(value, dt.date) else dt.date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a day; write it as in 2024-01-31", param, ctx)


@click.group()
def billing() -> None:
    """Show the usage of the organization and its costs; days are days of UTC."""


def _days(command: _F) -> _F:
    """Adds the options that select days."""
    for option in (
        click.option("--to", "last", type=_Day(), help="This day and earlier ones."),
        click.option("--from", "first", type=_Day(), help="This day and later ones, up to today or --to."),
        click.option("--day", type=_Day(), help="Only this day."),
    ):
        command = option(command)
    return command


def _filters(command: _F) -> _F:
    """Adds the options that select records."""
    for option in (
        click.option("--service", type=click.Choice(SERVICES), help="Only this service."),
        click.option("--classification", type=click.Choice(CLASSIFICATIONS), help="Only this use."),
        click.option("--usage-type", type=click.Choice(list(USAGE_TYPES)), help="Only this usage type."),
    ):
        command = option(command)
    return command


def _formats(command: _F) -> _F:
    """Adds the options that select the format."""
    return output.json_option(click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")(command))


_category = click.option("--category", type=click.Choice(CATEGORIES), help="Only this category.")


@billing.command()
@_days
@_filters
@_formats
@click.pass_obj
def usage(
    open_session: OpenSession,
    /,
    day: dt.date | None,
    first: dt.date | None,
    last: dt.date | None,
    as_csv: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """List the usage, a line for each day and usage type."""
    with open_session() as edge:
        records = edge.billing.all_cloud_usage(**_period(day, first, last), **filters)
    _show(records, USAGE_COLUMNS, as_csv, as_json)


@billing.command()
@_days
@_filters
@_category
@_formats
@click.pass_obj
def costs(
    open_session: OpenSession,
    /,
    day: dt.date | None,
    first: dt.date | None,
    last: dt.date | None,
    as_csv: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """List the costs, a line for each day and usage type, and their sum."""
    with open_session() as edge:
        records = edge.billing.all_computed_costs(**_period(day, first, last), **filters)
        priced = bool(records) or edge.billing.prices().currency is not None
    _show(records, COST_COLUMNS, as_csv, as_json)
    if as_csv or as_json:
        return
    if not priced:
        output.note("No costs: the operator of the server has set no prices.")
    for currency in sorted({cost.currency or "" for cost in records}):
        total = sum(cost.computed_cost for cost in records if (cost.currency or "") == currency)
        output.line(f"Sum: {total:f} {currency}")


@billing.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--from", "first", type=_Day(), help="The first day; 29 days before the last one by default.")
@click.option("--to", "last", type=_Day(), help="The last day; today by default.")
@_filters
@_category
@click.pass_obj
def plot(
    open_session: OpenSession, /, target: Path, first: dt.date | None, last: dt.date | None, **filters: Any
) -> None:
    """Draw the cost of each day by usage type into the file TARGET, such as costs.png or costs.pdf."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "a plot needs matplotlib, which is not installed; run: python -m pip install matplotlib", name=error.name
        ) from None
    last = last or dt.datetime.now(dt.UTC).date()
    first = first or last - dt.timedelta(days=29)
    figure = Figure(figsize=(9, 4.5), dpi=150, layout="constrained")
    kinds = figure.canvas.get_supported_filetypes()
    if target.suffix.lower().removeprefix(".") not in kinds:
        raise click.UsageError(
            f"{target} is not the name of a picture; end it with one of .{', .'.join(sorted(kinds))}"
        )
    with open_session() as edge:
        records = edge.billing.all_computed_costs(date_range=(first, last), **filters)
        draw(records, (first, last), edge.organization, figure.subplots())
    figure.savefig(target)


@billing.command()
@click.argument("target", type=click.Path(dir_okay=False, allow_dash=True))
@_days
@click.pass_obj
def report(
    open_session: OpenSession, target: str, day: dt.date | None, first: dt.date | None, last: dt.date | None
) -> None:
    """Write usage and costs of all organizations as CSV to the file TARGET, or "-" for standard output.

    For server administrators.
    """
    with open_session() as edge:
        content = edge.billing.download_report(None if target == "-" else target, **_period(day, first, last))
    if target == "-":
        output.content([content])


def _period(day: dt.date | None, first: dt.date | None, last: dt.date | None) -> dict[str, Any]:
    if first is None and last is None:
        return {"billing_date": day}
    if day is not None:
        raise BadEntry("--day and a range of days exclude each other; give one of them")
    return {"date_range": (first or dt.date.min, last or dt.date.max)}


def _show(records: list[Any], columns: tuple[str, ...], as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other; give one of them")
    if as_json:
        output.json(records)
        return
    rows = [
        [getattr(record, name) for name in columns] + ["estimated" if record.estimated else "final"]
        for record in records
    ]
    if as_csv:
        output.csv([*columns, "state"], rows)
        return
    output.table(
        rows,
        [name.upper() for name in (*columns, "state")],
        numeric=[name.upper() for name in columns if name in _NUMBERS],
    )
