"""The documented import path of the API: `from edge.api import EdgeSession, NotFound`."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_admin.namespace import EdgeAdmin as EdgeAdmin
    from edge_applications.namespace import EdgeApplication as EdgeApplication
    from edge_billing.namespace import EdgeBilling as EdgeBilling
    from edge_compute.app_placeholder import AppPlaceholder as AppPlaceholder
    from edge_compute.app_profile import (
        AppProfile as AppProfile,
    )
    from edge_compute.app_profile import (
        AppProfileStatusEnum as AppProfileStatusEnum,
    )
    from edge_compute.namespace import EdgeCompute as EdgeCompute
    from edge_core.errors import (
        AlreadyExists as AlreadyExists,
    )
    from edge_core.errors import (
        ApiError as ApiError,
    )
    from edge_core.errors import (
        BadEntry as BadEntry,
    )
    from edge_core.errors import (
        BadResponse as BadResponse,
    )
    from edge_core.errors import (
        ChecksumError as ChecksumError,
    )
    from edge_core.errors import (
        ConfigurationError as ConfigurationError,
    )
    from edge_core.errors import (
        Conflict as Conflict,
    )
    from edge_core.errors import (
        ConnectionFailed as ConnectionFailed,
    )
    from edge_core.errors import (
        EdgeError as EdgeError,
    )
    from edge_core.errors import (
        EdgeSessionError as EdgeSessionError,
    )
    from edge_core.errors import (
        Forbidden as Forbidden,
    )
    from edge_core.errors import (
        MissingPackage as MissingPackage,
    )
    from edge_core.errors import (
        NotFound as NotFound,
    )
    from edge_core.errors import (
        PluginError as PluginError,
    )
    from edge_core.errors import (
        QuotaExceeded as QuotaExceeded,
    )
    from edge_core.errors import (
        ServerError as ServerError,
    )
    from edge_core.errors import (
        Unauthenticated as Unauthenticated,
    )
    from edge_core.search import SearchResult as SearchResult
    from edge_core.search import SearchResults as SearchResults
    from edge_core.session import EdgeSession as EdgeSession
    from edge_core.whoami import WhoAmI as WhoAmI
    from edge_files.file import File as File
    from edge_files.folder import Folder as Folder
    from edge_secrets.namespace import EdgeSecrets as EdgeSecrets
    from edge_sources.connection import ConnectionStatus as ConnectionStatus
    from edge_sources.namespace import EdgeData as EdgeData
    from edge_sources.openapi import OpenAPIConnection as OpenAPIConnection
    from edge_sources.s3 import (
        S3Connection as S3Connection,
    )
    from edge_sources.s3 import (
        S3File as S3File,
    )
    from edge_sources.s3 import (
        S3Folder as S3Folder,
    )
    from edge_sources.sql import (
        SQLConnection as SQLConnection,
    )
    from edge_sources.sql import (
        SQLTable as SQLTable,
    )
    from edge_tokens.namespace import EdgeTokens as EdgeTokens
    from edge_vfs.openers.opener import InexactWarning as InexactWarning
    from edge_vfs.progress import TransferProgress as TransferProgress
    from edge_vfs.report import IncompleteTransfer as IncompleteTransfer
    from edge_vfs.report import TransferReport as TransferReport
    from edge_vfs.writing import TextWriter as TextWriter
    from edge_vfs.writing import Writer as Writer

__getattr__, __dir__ = exports(__name__)
