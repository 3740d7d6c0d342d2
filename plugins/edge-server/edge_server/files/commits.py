"""What is done with stored bytes when the transaction fails that was to make them a file."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from edge_server.base.problems import is_failing
from edge_server.files.models import Version
from edge_server.web.context import OwnContext


def may_be_committed(context: OwnContext, key: str, error: BaseException) -> bool:
    """Whether a version with this key may be there, or come back, although its transaction has failed.

    A database that could not write or force its log to disk says that nothing was committed, and may still find the
    commit there when it is next opened. Bytes are kept then: `edge server fsck` drops them if they are nobody's.

    Args:
        context: the subsystem's.
        key: of the content.
        error: what the transaction raised.
    """
    if isinstance(error, DBAPIError) and is_failing(error):
        return True
    try:
        with context.read() as session:
            return session.scalar(select(Version.id).where(Version.key == key).limit(1)) is not None
    except DBAPIError:
        return True
