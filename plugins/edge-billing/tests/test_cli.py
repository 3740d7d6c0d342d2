"""`edge billing` as a person meets it, and the plot."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import matplotlib
import matplotlib.axes
import pytest
from matplotlib.figure import Figure

from edge_billing.cli import billing
from edge_billing.computed_cost import BillingComputedCost
from edge_billing.figure import draw
from edge_core.errors import BadEntry
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer

click_testing = pytest.importorskip("click.testing")

Run = Callable[..., str]


@pytest.fixture
def run(edge_session: EdgeSession) -> Run:
    """Runs a subcommand in the session's organization, and gives what it prints."""
    settings = edge_session.config

    def open_session() -> EdgeSession:
        return EdgeSession(
            api_token=settings.api_token, service_url=settings.service_url, organization=settings.organization
        )

    def call(*words: str, code: int = 0) -> str:
        done = click_testing.CliRunner().invoke(billing, words, obj=open_session)
        if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        text: str = done.output
        return text

    return call


@pytest.fixture
def prices(edge_server: EdgeServer) -> object:
    path = edge_server.data / "prices.toml"
    path.write_text(
        'currency = "EUR"\n[transfer_in]\nprice = 0.5\nper = "kB"\n[object_storage]\nprice = 3\nper = "kB-hour"\n'
    )
    yield path
    path.unlink()


def test_usage_is_a_table_csv_or_json(run: Run, edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.csv", b"x" * 1234)
    lines = run("usage").splitlines()
    assert lines[0].split()[2:] == [
        "USAGE_TYPE",
        "COST_ALLOCATION_TAG",
        "USAGE_QUANTITY",
        "USAGE_QUANTITY_UNITS",
        "STATE",
    ]
    (sent,) = [line.split() for line in lines if "transfer_in" in line]
    assert sent[1:] == [dt.datetime.now(dt.UTC).date().isoformat(), "transfer_in", "1234", "bytes", "estimated"]
    (row,) = csv.DictReader(io.StringIO(run("usage", "--csv", "--usage-type", "transfer_in")))
    assert (row["usage_quantity"], row["state"]) == ("1234", "estimated")
    (record,) = json.loads(run("usage", "--json", "--service", "transfer", "--usage-type", "transfer_in"))
    assert record["usage_quantity"] == "1234"
    assert run("usage", "--day", "2001-01-31", "--csv").count("\n") == 1
    assert run("usage", "--to", "2001-01-31", "--json") == "[]\n"
    assert "exclude each other" in run("usage", "--csv", "--json", code=2)
    assert "write it as in 2024-01-31" in run("usage", "--day", "31.1.2024", code=2)
    with pytest.raises(BadEntry, match="exclude each other"):
        run("usage", "--day", "2001-01-31", "--from", "2001-01-31")
    with pytest.raises(BadEntry, match="before it begins"):
        run("usage", "--to", "2001-01-30", "--from", "2001-01-31")


@pytest.mark.usefixtures("prices")
def test_costs_end_with_their_sum(run: Run, edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.csv", b"x" * 3000)
    lines = run("costs", "--category", "Transfer").splitlines()
    assert lines[1].split()[2:] == ["Transfer", "transfer_in", "1.5000000000", "EUR", "estimated"]
    assert lines[-1] == "Sum: 1.5000000000 EUR"
    (record,) = json.loads(run("costs", "--json", "--usage-type", "transfer_in"))
    assert record["computed_cost"] == "1.5000000000"


def test_costs_without_prices_say_why_there_are_none(run: Run, edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.csv", b"x")
    assert "the operator of the server has set no prices" in run("costs")


@pytest.mark.slow
@pytest.mark.usefixtures("prices")
def test_the_plot_goes_to_a_file(run: Run, edge_session: EdgeSession, tmp_path: Path) -> None:
    edge_session.files.upload("a.csv", b"x" * 3000)
    for name, start in (("costs.png", b"\x89PNG"), ("costs.svg", b"<?xml"), ("costs.pdf", b"%PDF")):
        assert run("plot", str(tmp_path / name)) == ""
        assert (tmp_path / name).read_bytes().startswith(start)
    assert "end it with one of" in run("plot", str(tmp_path / "costs.xls"), code=2)


def test_the_report_goes_to_a_file_or_on(edge_server: EdgeServer, tmp_path: Path) -> None:
    token = edge_server.create_token("admin")

    def open_session() -> EdgeSession:
        return EdgeSession(api_token=token, service_url=edge_server.url, organization="default")

    runner = click_testing.CliRunner()
    assert runner.invoke(billing, ["report", str(tmp_path / "all.csv")], obj=open_session).exit_code == 0
    assert (tmp_path / "all.csv").read_text().startswith("id,billing_date,org_name,")
    assert runner.invoke(billing, ["report", "-"], obj=open_session).output.startswith("id,billing_date,org_name,")


# --- the plot ------------------------------------------------------------------------------------


def cost(day: int, usage_type: str, amount: str, *, estimated: bool = False) -> BillingComputedCost:
    return BillingComputedCost(
        computed_cost=Decimal(amount),
        billing_date=dt.date(2031, 3, day),
        usage_type=usage_type,
        estimated=estimated,
        currency="EUR",
    )


def test_the_plot_stacks_each_days_costs_and_says_what_they_are() -> None:
    costs = [
        cost(1, "object_storage", "2"),
        cost(1, "transfer_out", "1.5"),
        cost(2, "transfer_out", "4", estimated=True),
    ]
    drawn = draw(costs, (dt.date(2031, 3, 1), dt.date(2031, 3, 31)), "lab", Figure().subplots())
    bars = sorted((round(bar.get_y(), 6), round(bar.get_height(), 6)) for bar in drawn.patches)  # type: ignore[attr-defined]
    assert bars == [(0, 2), (0, 4), (2, 1.5)]
    legend = drawn.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "Stored content  2.00",
        "Transfer out  5.50",
        "lighter: still estimated",
    ]
    assert drawn.get_ylabel() == "EUR per day"
    assert drawn.get_title(loc="right") == "1 Mar to 31 Mar 2031: 7.50 EUR"
    assert [label.get_text() for label in drawn.get_xticklabels()][:2] == ["1 Mar", "4 Mar"]
    low, high = drawn.get_xlim()
    assert high - low == 31


def test_a_plot_of_no_costs_says_so() -> None:
    drawn = draw([], (dt.date(2031, 3, 1), dt.date(2031, 3, 1)), "lab", Figure().subplots())
    assert [text.get_text() for text in drawn.texts] == ["no costs in these days"]
    assert drawn.get_title(loc="right") == "1 Mar 2031"


@pytest.mark.slow
@pytest.mark.usefixtures("prices")
def test_the_session_draws_its_own_costs(edge_session: EdgeSession) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    edge_session.files.upload("a.csv", b"x" * 3000)
    drawn = edge_session.billing.plot(usage_type="transfer_in")
    assert isinstance(drawn, matplotlib.axes.Axes)
    assert [round(bar.get_height(), 6) for bar in drawn.patches] == [1.5]  # type: ignore[attr-defined]
    assert edge_session.billing.plot(category="Object", ax=drawn) is drawn
    pyplot.close("all")


def test_neither_the_namespace_nor_the_command_loads_anything_heavy() -> None:
    program = (
        "import edge_billing.namespace, edge_billing.cli, edge.edge_billing, sys\n"
        "edge.edge_billing.BillingCloudUsage\n"
        "print([name for name in ('pandas', 'matplotlib', 'numpy', 'requests', 'marshmallow', 'edge_server')"
        " if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60).stdout == "[]\n"
