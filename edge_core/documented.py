"""The one table of documented names: which distribution gives each of them.

The core imports none of these; the table serves hints ("install edge-billing") and the lazy
re-exports under ``edge``.
"""

from __future__ import annotations

NAMESPACES = {
    "files": "edge-files",
    "sources": "edge-sources",
    "applications": "edge-applications",
    "tokens": "edge-tokens",
    "admin": "edge-admin",
    "billing": "edge-billing",
    "compute": "edge-compute",
    "secrets": "edge-secrets",
}
"""Documented property of the session -> its distribution."""

EXPORTS = {
    "edge.api": {
        "EdgeSession": "edge_core.session",
        "EdgeError": "edge_core.errors",
        "EdgeSessionError": "edge_core.errors",
        "ConfigurationError": "edge_core.errors",
        "PluginError": "edge_core.errors",
        "MissingPackage": "edge_core.errors",
        "ConnectionFailed": "edge_core.errors",
        "BadResponse": "edge_core.errors",
        "ChecksumError": "edge_core.errors",
        "ApiError": "edge_core.errors",
        "BadEntry": "edge_core.errors",
        "Unauthenticated": "edge_core.errors",
        "Forbidden": "edge_core.errors",
        "NotFound": "edge_core.errors",
        "AlreadyExists": "edge_core.errors",
        "Conflict": "edge_core.errors",
        "QuotaExceeded": "edge_core.errors",
        "ServerError": "edge_core.errors",
        "WhoAmI": "edge_core.whoami",
        "SearchResult": "edge_core.search",
        "SearchResults": "edge_core.search",
        "Folder": "edge_files.folder",
        "File": "edge_files.file",
        "Writer": "edge_vfs.writing",
        "TextWriter": "edge_vfs.writing",
        "InexactWarning": "edge_vfs.openers.opener",
        "TransferProgress": "edge_vfs.progress",
        "TransferReport": "edge_vfs.report",
        "IncompleteTransfer": "edge_vfs.report",
        "EdgeData": "edge_sources.namespace",
        "SQLConnection": "edge_sources.sql",
        "SQLTable": "edge_sources.sql",
        "S3Connection": "edge_sources.s3",
        "S3Folder": "edge_sources.s3",
        "S3File": "edge_sources.s3",
        "OpenAPIConnection": "edge_sources.openapi",
        "ConnectionStatus": "edge_sources.connection",
        "EdgeApplication": "edge_applications.namespace",
        "EdgeTokens": "edge_tokens.namespace",
        "EdgeAdmin": "edge_admin.namespace",
        "EdgeBilling": "edge_billing.namespace",
        "EdgeCompute": "edge_compute.namespace",
        "AppProfile": "edge_compute.app_profile",
        "AppProfileStatusEnum": "edge_compute.app_profile",
        "AppPlaceholder": "edge_compute.app_placeholder",
        "EdgeSecrets": "edge_secrets.namespace",
    },
    "edge.apps.application": {
        "Application": "edge_applications.application",
        "AppResource": "edge_applications.application",
        "AppStatusEnum": "edge_applications.application",
    },
    "edge.apps.app_version": {
        "AppVersion": "edge_applications.app_version",
        "AppKindEnum": "edge_applications.app_version",
        "AppFrameworkEnum": "edge_applications.app_version",
        "AppProxyKindEnum": "edge_applications.app_version",
    },
    "edge.apps.running_app": {
        "RunningApp": "edge_applications.running_app",
        "RunningAppStatusEnum": "edge_applications.running_app",
        "SharedWith": "edge_applications.running_app",
    },
    "edge.apps.server_info": {"ServerInfo": "edge_applications.server_info"},
    "edge.admin": {
        "Organization": "edge_admin.organization",
        "OrganizationStatusEnum": "edge_admin.organization",
        "User": "edge_admin.user",
    },
    "edge.admin.organization": {
        "Organization": "edge_admin.organization",
        "OrganizationStatusEnum": "edge_admin.organization",
    },
    "edge.admin.user": {"User": "edge_admin.user"},
    "edge.edge_tokens": {"Token": "edge_tokens.token"},
    "edge.edge_billing": {
        "BillingCloudUsage": "edge_billing.cloud_usage",
        "BillingComputedCost": "edge_billing.computed_cost",
    },
    "edge.edge_compute": {
        "AppProfile": "edge_compute.app_profile",
        "AppProfileStatusEnum": "edge_compute.app_profile",
        "AppPlaceholder": "edge_compute.app_placeholder",
    },
    "edge.whoami.organization": {"Organization": "edge_core.whoami"},
}
"""Documented import path -> name -> the module that defines it."""


def distribution_of(module: str) -> str:
    """The distribution that ships `module`: ``edge_files.folder`` comes with ``edge-files``."""
    return module.partition(".")[0].replace("_", "-")
