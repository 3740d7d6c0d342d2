"""Lists of records that can become a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from edge_core.errors import MissingPackage
from edge_core.records import Record

if TYPE_CHECKING:
    import pandas

_R = TypeVar("_R", bound=Record)


class Rows(list[_R]):
    """A list of records of one kind.

    Args:
        kind: class of the records.
        records: the records.
    """

    def __init__(self, kind: type[_R], records: Iterable[_R]) -> None:
        super().__init__(records)
        self._kind = kind

    def to_dataframe(self) -> pandas.DataFrame:
        """The records as a `pandas.DataFrame`, a column for each property.

        `billing_date` is a datetime64 without a time zone, at midnight of the day in UTC. Quantities
        and costs are exact `Decimal`; ``.astype(float)`` converts them for statistics.

        Raises:
            MissingPackage: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise MissingPackage(
                "a DataFrame needs pandas, which is not installed; run: python -m pip install pandas", name=error.name
            ) from None
        columns = list(self._kind._fields)
        frame = pandas.DataFrame([[getattr(record, name) for name in columns] for record in self], columns=columns)
        frame["billing_date"] = pandas.to_datetime(frame["billing_date"])
        return frame
