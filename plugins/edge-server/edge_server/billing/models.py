"""The tables of usage, closed months and readings, and their exact number types."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

from sqlalchemy import Date, ForeignKey, String, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from edge_server.data.declarative import Base, RowId


class Whole(TypeDecorator[int]):
    """A whole number of any size; the bytes of a large store times the microseconds of a day need 28 digits."""

    impl = String(60)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> int | None:
        return None if value is None else int(value)


class Exact(TypeDecorator[decimal.Decimal]):
    """A decimal number as it was given; SQLite would make it binary."""

    impl = String(60)
    cache_ok = True

    def process_bind_param(self, value: decimal.Decimal | None, dialect: Any) -> str | None:
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Any) -> decimal.Decimal | None:
        return None if value is None else decimal.Decimal(value)


class BillingUsage(Base):
    """What an organization used of one kind on one day, and once its month is closed, what that cost.

    Open, the row counts on. Final, it never changes again. It stays when the organization is removed,
    and then names it without referring to it.
    """

    __tablename__ = "billing_usage"
    __table_args__ = (
        UniqueConstraint(
            "user_organization_id",
            "billing_date",
            "usage_type",
            "cost_allocation_tag",
            name="uq_billing_usage_day",
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id", ondelete="SET NULL"))
    org_name: Mapped[str] = mapped_column(String(100))
    billing_date: Mapped[dt.date] = mapped_column(Date, index=True)
    usage_type: Mapped[str] = mapped_column(String(50))
    classification: Mapped[str] = mapped_column(String(20))
    # "" for none: NULLs are all different to the constraint above.
    cost_allocation_tag: Mapped[str] = mapped_column(String(200))
    amount: Mapped[int] = mapped_column(Whole)
    final: Mapped[bool] = mapped_column(default=False)
    computed_cost: Mapped[decimal.Decimal | None] = mapped_column(Exact)
    currency: Mapped[str | None] = mapped_column(String(3))


class BillingMonth(Base):
    """A month that is closed; so are all before the newest one."""

    __tablename__ = "billing_months"

    month: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    closed_at: Mapped[dt.datetime]


class BillingReading(Base):
    """Up to when an organization's stored content has been measured, and when it was closed for good."""

    __tablename__ = "billing_readings"

    organization_id: Mapped[int] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    measured_until: Mapped[dt.datetime]
    closed_at: Mapped[dt.datetime | None]
