"""Import path of `User`, beside that of `Organization`."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_admin.user import User as User

__getattr__, __dir__ = exports(__name__)
