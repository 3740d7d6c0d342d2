"""What is documented of the API: every class, member, parameter, value and import path, section by section.

Facts only. What an edition of the documentation or published code states is `SEEN` or `OLD`; what we
read out of it is `INFERRED`; what this project adds to the same classes is `OURS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

SEEN = "seen"
OLD = "old"
INFERRED = "inferred"
OURS = "ours"

ANY: Any = object()
"""The value of a member that is no enumeration's."""


class Member(NamedTuple):
    """One member of a class.

    Attributes:
        name: as it is written after the dot.
        kind: "attribute", "method" or "value" (of an enumeration).
        mark: where it is known from.
        parameters: of a method, as documented; None where they are not known.
        value: of an enumeration's member.
        namespace: of an attribute of the session: whether a plugin gives it.
    """

    name: str
    kind: str
    mark: str
    parameters: str | None = None
    value: Any = ANY
    namespace: bool = False


class Class(NamedTuple):
    """One class, by its import paths.

    Attributes:
        paths: ``module.Name``, the best first.
        mark: where it is known from.
        members: in the order of the documentation.
        forms: parameters of each documented way to construct it; none for what is not constructed.
        error: whether it is raised.
    """

    paths: tuple[str, ...]
    mark: str
    members: tuple[Member, ...] = ()
    forms: tuple[str, ...] = ()
    error: bool = False

    @property
    def path(self) -> str:
        return self.paths[0]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def uses(self) -> Iterator[str]:
        """What a test has to do with it: import it by each path, construct or raise it, use each member."""
        yield from self.paths
        if self.forms or self.error:
            yield f"{self.path}()"
        yield from (f"{self.path}.{member.name}" for member in self.members)


class Opener(NamedTuple):
    """What `Folder.open` takes as `open_with`.

    Attributes:
        name: the text itself.
        suffixes: those it opens without being asked for by name, as documented.
        mark: where it is known from.
    """

    name: str
    suffixes: str
    mark: str

    @property
    def key(self) -> str:
        return f'open_with="{self.name}"'


class Section(NamedTuple):
    """What belongs together.

    Attributes:
        title: heading in the table.
        test: the function of `tests.test_reference_calls` that uses all of it.
        classes: its classes.
        variables: environment variables, each with its mark.
        openers: of files.
    """

    title: str
    test: str
    classes: tuple[Class, ...]
    variables: tuple[tuple[str, str], ...] = ()
    openers: tuple[Opener, ...] = ()

    @property
    def namespace(self) -> str:
        """The session's property, or the empty text."""
        return self.title.removeprefix("session.") if self.title.startswith("session.") else ""

    def uses(self) -> Iterator[str]:
        """What the test has to do."""
        yield from (name for name, _ in self.variables)
        yield from (entry.key for entry in self.openers)
        for entry in self.classes:
            yield from entry.uses()


def attributes(names: str, mark: str) -> tuple[Member, ...]:
    return tuple(Member(name, "attribute", mark) for name in names.split())


def namespaces(names: str, mark: str) -> tuple[Member, ...]:
    return tuple(Member(name, "attribute", mark, namespace=True) for name in names.split())


def method(name: str, parameters: str | None, mark: str) -> Member:
    return Member(name, "method", mark, parameters)


def methods(names: str, mark: str) -> tuple[Member, ...]:
    """Methods whose parameters nothing states."""
    return tuple(Member(name, "method", mark) for name in names.split())


def values(mark: str, **members: Any) -> tuple[Member, ...]:
    return tuple(Member(name, "value", mark, value=value) for name, value in members.items())


TO_DICT = method("to_dict", "", SEEN)

SESSION = Section(
    "The session",
    "test_the_session",
    (
        Class(
            ("edge.api.EdgeSession",),
            SEEN,
            (
                *namespaces("files sources applications tokens compute billing secrets admin", SEEN),
                *attributes("organization", SEEN),
                method("whoami", "", SEEN),
                method("search", "query, kind=None", SEEN),
                method("set_whoami", "first_name=None, last_name=None, email=None", SEEN),
                *attributes("config hooks http", OURS),
                *methods("close get namespaces reload_plugins", OURS),
            ),
            # `version_num` is of old code; the positional order is published, and advised against.
            ("api_token=None, service_url=None, organization=None", "*, version_num=None"),
        ),
        Class(("edge.api.SearchResult",), OLD, (*attributes("name kind uid", OLD), *attributes("path score", OURS))),
        Class(("edge.api.SearchResults",), OURS, attributes("partial", OURS)),
    ),
    (
        ("EDGE_API_TOKEN", SEEN),
        ("JUPYTERHUB_API_TOKEN", SEEN),
        ("EDGE_API_SERVICE_URL", SEEN),
        ("EDGE_API_ORG", SEEN),
    ),
)

_FOLDER = (
    method("open", "name, open_with=None, **options", SEEN),
    method("list", "", SEEN),
    method("list_files", "", SEEN),
    method("list_folders", "", OLD),
    method("download", "name, localpath=None", INFERRED),
    method("upload", "name, fileobj", OLD),
    method("make_folder", "name", OLD),
    method("rename", "name, new_name", OLD),
    method("move", "name, new_path", OLD),
    method("delete", "name", INFERRED),
    *attributes("basename path parent", OURS),
    *methods("scan exists stat walk glob download_folder upload_folder sync", OURS),
    *methods("create save read_bytes read_text write_bytes write_text touch copy", OURS),
)
_FILE = (
    *attributes("basename size", SEEN),
    method("download_url", "", SEEN),
    *methods("read seek tell close write", SEEN),
    *attributes("name", OURS),
    *methods("readall readinto readline read_ranges peek readable seekable", OURS),
)

_WRITER = "write flush tell close discard writable readable seekable seek truncate read"

FILES = Section(
    "session.files",
    "test_files",
    (
        Class(("edge.api.Folder",), SEEN, (*_FOLDER, *methods("versions restore uploads abort_upload", OURS))),
        Class(("edge.api.File",), SEEN, _FILE),
        Class(("edge.api.Writer",), OURS, (*attributes("name mode closed", OURS), *methods(_WRITER, OURS))),
        Class(("edge.api.TextWriter",), OURS, methods("write flush close discard", OURS)),
        Class(("edge.api.InexactWarning",), OURS),
        Class(
            ("edge.api.TransferProgress",),
            OURS,
            attributes(
                "direction path phase files total_files bytes total_bytes skipped_files skipped_bytes rate eta", OURS
            ),
        ),
        Class(("edge.api.TransferReport",), OURS, attributes("sent skipped failed bytes seconds", OURS)),
        Class(("edge.api.IncompleteTransfer",), OURS, attributes("report", OURS)),
    ),
    openers=(
        Opener("file", "", SEEN),
        Opener("pandas", ".csv .xls .xlsx .xlsm .xlsb .odf .ods .odt", SEEN),
        Opener("imageio", "", SEEN),
        Opener("pil", ".png", INFERRED),  # the class is documented, and what it makes of a PNG
        Opener("numpy", ".npy .npz", OURS),
        Opener("h5py", ".h5 .hdf5", OURS),
        Opener("xarray", ".nc", OURS),
        Opener("json", ".json", OURS),
        Opener("yaml", ".yaml .yml", OURS),
        Opener("text", ".txt .md", OURS),
    ),
)

_CONNECTION = (
    *attributes("kind uid name title", SEEN),
    method("test", "timeout=None", SEEN),
    TO_DICT,
)
_ANY_KIND = (*attributes("reason fields secret_fields", OURS), *methods("check from_dict route", OURS))

SOURCES = Section(
    "session.sources",
    "test_sources",
    (
        Class(
            ("edge.api.EdgeData",),
            SEEN,
            (
                method("list", "", SEEN),
                method("list_names", "", OLD),
                method("get", "connection_id", SEEN),
                method("add", "connection", SEEN),
                method("update", "connection", SEEN),
                method("remove", "connection_id", SEEN),
                *methods("scan", OURS),
            ),
        ),
        Class(
            ("edge.api.S3Connection",),
            SEEN,
            (
                *_CONNECTION,
                *attributes("bucket root", SEEN),
                method("iter_prefixes", "prefix=None", SEEN),
                method("list_prefixes", "prefix=None", SEEN),
                method("iter_keys", "prefix=None", SEEN),
                method("list_keys", "prefix=None", SEEN),
                method("open", "key, open_with=None, **options", SEEN),
                *methods("filesystem", OURS),
                *attributes("endpoint access_key secret_key", OURS),
                *methods("save client", OURS),
                *_ANY_KIND,
            ),
            ("name, title, bucket, endpoint, access_key, secret_key, _verify=None",),
        ),
        Class(("edge.api.S3Folder",), OLD, _FOLDER),
        Class(("edge.api.S3File",), OLD, _FILE),
        Class(
            ("edge.api.SQLConnection",),
            SEEN,
            (
                *_CONNECTION,
                *attributes("engine tables", SEEN),
                *attributes("host port db_kind db_name username password", OURS),
                *_ANY_KIND,
            ),
            ("name, title, host, port, db_kind, db_name, username, password",),
        ),
        Class(
            ("edge.api.SQLTable",),
            SEEN,
            (
                method("to_dataframe", "", SEEN),
                *attributes("name engine table columns", OURS),
                *methods("iter_dataframes", OURS),
            ),
            ("engine_proxy, name, *args, **kwargs",),
        ),
        Class(
            ("edge.api.OpenAPIConnection",),
            OLD,
            (
                *_CONNECTION,
                method("generate_new_client", "", OLD),
                *attributes("spec server_url token username password", OURS),
                *_ANY_KIND,
            ),
            ("name, title, spec",),
        ),
        Class(
            ("edge.api.ConnectionStatus",),
            SEEN,
            values(
                SEEN,
                VALID_CONNECTION="VALID_CONNECTION",
                BAD_CREDENTIALS="BAD_CREDENTIALS",
                NO_CONNECTION="NO_CONNECTION",
            ),
        ),
    ),
)

_FRAMEWORKS = {
    "Generic": "generic",
    "Panel": "panel",
    "PlotlyDash": "plotly-dash",
    "React": "react",
    "Streamlit": "streamlit",
}
_VERSION = (
    "app_id version title description icon kind framework link recommended_profile volume_mount_point "
    "suggested_volume_size"
)

APPLICATIONS = Section(
    "session.applications",
    "test_applications",
    (
        Class(
            ("edge.api.EdgeApplication",),
            SEEN,
            (
                method("list_application_ids", "include_builtin=None", SEEN),
                method("get_application", "app_id", SEEN),
                method("add_application", "application", SEEN),
                method("update_application", "application", SEEN),
                method("remove_application", "app_id", INFERRED),
                *methods("list_applications approve_application", OURS),
                method("add_app_version", "version", SEEN),
                method("list_app_versions", "app_id", INFERRED),
                method("get_app_version", "app_id, version", INFERRED),
                method("update_app_version", "version", INFERRED),
                method("remove_app_version", "app_id, version", INFERRED),
                method("add_server_info", "server", SEEN),
                method("list_server_infos", "app_id", INFERRED),
                method("get_server_info", "app_id, domain", INFERRED),
                method("update_server_info", "server", INFERRED),
                method("remove_server_info", "app_id, domain", INFERRED),
                method("register_oauth_client", "app_id, redirect_uri", OLD),
                *methods("list_oauth_clients get_oauth_client update_oauth_client remove_oauth_client", OURS),
                *methods("launch list_running find_running stop_running share_running unshare_running", OURS),
            ),
        ),
        Class(
            ("edge.apps.running_app.RunningApp",),
            OURS,
            (
                *attributes(
                    "server_name user_name app_id version profile_id status url started_at last_activity shared_with "
                    "exit_code last_lines",
                    OURS,
                ),
                *methods("progress wait refresh stop share unshare", OURS),
            ),
        ),
        Class(("edge.apps.running_app.SharedWith",), OURS, attributes("organization users", OURS)),
        Class(
            ("edge.apps.running_app.RunningAppStatusEnum",),
            OURS,
            values(OURS, Starting="starting", Running="running", Stopping="stopping", Ended="ended"),
        ),
        Class(
            ("edge.apps.application.Application",),
            SEEN,
            (
                *attributes("app_id built_in idle_minutes visible_auto_add visible_versions", SEEN),
                TO_DICT,
                *attributes("max_resources max_global_resources", OLD),
                *attributes("status", OURS),
            ),
            (
                "app_id, visible_auto_add",
                "*, app_id, visible_auto_add, visible_versions, idle_minutes, built_in",
                "*, app_id, max_resources, max_global_resources",
            ),
        ),
        Class(
            ("edge.apps.application.AppResource",),
            OLD,
            (*attributes("cpu gpu memory shutdown", OLD), method("to_dict", "", OURS)),
            ("cpu, gpu, memory, shutdown", "*, cpu, gpu, memory, shutdown"),
        ),
        Class(
            ("edge.apps.application.AppStatusEnum",),
            OURS,
            values(OURS, InReview="in_review", Approved="approved"),
        ),
        Class(
            ("edge.apps.app_version.AppVersion",),
            SEEN,
            (
                *attributes(_VERSION, SEEN),
                TO_DICT,
                *attributes("proxy_kind", SEEN),
                *attributes("profiles default_profile", OLD),
            ),
            (
                f"*, {', '.join(_VERSION.split())}",
                "app_id, version, title, description, icon, kind, link, recommended_profile",
                "*, app_id, version, proxy_kind",
                "*, app_id, version, profiles, default_profile",
            ),
        ),
        Class(
            ("edge.apps.app_version.AppKindEnum",),
            SEEN,
            (
                *values(SEEN, Native="native", Kubernetes="kubernetes", Analysis="analysis", Data="data"),
                *values(OLD, External="external"),
            ),
        ),
        Class(
            ("edge.apps.app_version.AppFrameworkEnum",),
            SEEN,
            values(SEEN, NoFramework=None, **_FRAMEWORKS),
        ),
        Class(("edge.apps.app_version.AppProxyKindEnum",), SEEN, values(SEEN, NoProxy=None, **_FRAMEWORKS)),
        Class(
            ("edge.apps.server_info.ServerInfo",),
            SEEN,
            (*attributes("app_id domain username password", SEEN), TO_DICT),
            ("*, app_id, domain, username, password",),
        ),
    ),
)

TOKENS = Section(
    "session.tokens",
    "test_tokens",
    (
        Class(
            ("edge.api.EdgeTokens",),
            SEEN,
            (
                method("list", "", SEEN),
                method("get", "token_id", SEEN),
                method("create", "note=None, expires_in=None", SEEN),
                method("remove", "token_id", SEEN),
            ),
        ),
        Class(
            ("edge.edge_tokens.Token",),
            SEEN,
            (
                *attributes("token", SEEN),
                *attributes("id note created_at expires_at", INFERRED),
                *attributes("prefix last_used_at", OURS),
                method("to_dict", "", INFERRED),
            ),
        ),
    ),
)

WHOAMI = Section(
    "Who am I",
    "test_who_am_i",
    (
        Class(
            ("edge.api.WhoAmI",),
            SEEN,
            (
                *attributes("user_name first_name last_name email server_admin license_name organizations", SEEN),
                TO_DICT,
            ),
        ),
        Class(
            ("edge.whoami.organization.Organization",),
            SEEN,
            (*attributes("organization_name title roles", SEEN), TO_DICT),
        ),
    ),
)

_PROFILE = "uid profile_id name instance_name cpu gpu memory built_in status disable"
_PLACEHOLDER = "uid name profile_id quantity disable"

COMPUTE = Section(
    "session.compute",
    "test_compute",
    (
        Class(
            ("edge.api.EdgeCompute",),
            SEEN,
            (
                method("list_instance_types", "", SEEN),
                method("retrieve_instance_type", "instance_name", SEEN),
                method("list_app_profiles", "", SEEN),
                method("create_app_profile", "profile_id, data", SEEN),
                method("retrieve_app_profile", "profile_id", INFERRED),
                method("update_app_profile", "profile_id, data", INFERRED),
                method("remove_app_profile", "profile_id", INFERRED),
                method("list_placeholders", "", SEEN),
                method("create_placeholder", "data", SEEN),
                *methods("retrieve_placeholder update_placeholder remove_placeholder", INFERRED),
                *methods("get_backend list_placeholder_states", OURS),
            ),
        ),
        Class(
            ("edge.edge_compute.AppProfile", "edge.api.AppProfile"),
            SEEN,
            (*attributes(_PROFILE, SEEN), TO_DICT),
            (f"*, {', '.join(_PROFILE.split())}",),
        ),
        Class(
            ("edge.edge_compute.AppProfileStatusEnum", "edge.api.AppProfileStatusEnum"),
            SEEN,
            values(SEEN, Pending="pending", Ready="ready"),
        ),
        Class(
            ("edge.edge_compute.AppPlaceholder", "edge.api.AppPlaceholder"),
            SEEN,
            (*attributes(_PLACEHOLDER, SEEN), TO_DICT),
            (f"*, {', '.join(_PLACEHOLDER.split())}",),
        ),
    ),
)

_QUERY = (
    "usage_type=None, classification=None, service=None, billing_date=None, date_range=None, start_after_id=None, "
    "page_size=1000"
)

BILLING = Section(
    "session.billing",
    "test_billing",
    (
        Class(
            ("edge.api.EdgeBilling",),
            SEEN,
            (
                method("query_cloud_usage", _QUERY, SEEN),
                method("query_computed_costs", "*, billing_date=None", SEEN),
                *methods("all_cloud_usage all_computed_costs plot prices", OURS),
                method("download_report", None, INFERRED),
            ),
        ),
        Class(
            ("edge.edge_billing.BillingCloudUsage",),
            SEEN,
            (
                *attributes(
                    "id billing_date cost_allocation_tag org_name classification usage_type usage_quantity "
                    "usage_quantity_units estimated",
                    SEEN,
                ),
                TO_DICT,
            ),
        ),
        Class(
            ("edge.edge_billing.BillingComputedCost",),
            SEEN,
            (
                *attributes(
                    "id billing_date org_name classification usage_type computed_cost category estimated", SEEN
                ),
                *attributes("currency", OURS),
                TO_DICT,
            ),
        ),
        Class(("edge_billing.rows.Rows",), OURS, methods("to_dataframe", OURS)),
    ),
)

SECRETS = Section(
    "session.secrets",
    "test_secrets",
    (
        Class(
            ("edge.api.EdgeSecrets",),
            SEEN,
            (
                method("list_user_secrets", "", SEEN),
                method("read_user_secret", "secret_name", SEEN),
                method("create_user_secret", "secret_name, secret", SEEN),
                method("update_user_secret", "secret_name, secret", INFERRED),
                method("delete_user_secret", "secret_name", INFERRED),
                method("list_organization_secrets", "", INFERRED),
                method("read_organization_secret", "secret_name", INFERRED),
                method("create_organization_secret", "secret_name, secret", INFERRED),
                method("update_organization_secret", "secret_name, secret", INFERRED),
                method("delete_organization_secret", "secret_name", INFERRED),
            ),
        ),
    ),
)

ADMIN = Section(
    "session.admin",
    "test_administration",
    (
        Class(
            ("edge.api.EdgeAdmin",),
            SEEN,
            (
                method("list_organization_names", "", SEEN),
                method("get_organization", "organization_name", SEEN),
                method("add_organization", "organization", SEEN),
                method("update_organization", "organization", SEEN),
                method("remove_organization", "organization_name", SEEN),
                method("invite_to_organization", None, SEEN),
                method("add_user", "user", SEEN),
                method("get_user", "user_name", INFERRED),
                method("update_user", "user", INFERRED),
                method("remove_user", "user_name", INFERRED),
                *methods("list_organizations get_quota set_quota", OURS),
                *methods("list_user_names list_users", OURS),
                *methods("list_members get_member add_user_to_organization update_member", OURS),
                *methods("get_roles set_roles remove_user_from_organization", OURS),
                *methods("revoke_member_addresses revoke_user_addresses", OURS),
                *methods("list_audit_lines list_server_audit_lines", OURS),
                *methods("list_invitations remove_invitation", OURS),
                *methods("list_own_invitations accept_invitation decline_invitation", OURS),
            ),
        ),
        Class(
            ("edge.admin.organization.Organization", "edge.admin.Organization"),
            SEEN,
            (*attributes("uid name title status disable_launch shutdown_apps active", SEEN), TO_DICT),
            ("*, name, title, status, disable_launch, shutdown_apps, active",),
        ),
        Class(
            ("edge.admin.organization.OrganizationStatusEnum", "edge.admin.OrganizationStatusEnum"),
            SEEN,
            values(SEEN, Active="active", DisableApps="disable_apps", Deleting="deleting"),
        ),
        Class(
            ("edge.admin.user.User", "edge.admin.User"),
            SEEN,
            (*attributes("uid user_name first_name last_name email server_admin home_org license_name", SEEN), TO_DICT),
            ("user_name, first_name, last_name, email",),
        ),
        Class(
            ("edge_admin.member.Member",),
            OURS,
            (
                *attributes("user_name roles first_name last_name email license_name home invited", OURS),
                method("to_dict", "", OURS),
            ),
        ),
        Class(
            ("edge_admin.invitation.Invitation",),
            OURS,
            (
                *attributes("id user_name organization_name created_at expires_at email roles", OURS),
                *attributes("created_by accepted_at code", OURS),
                method("to_dict", "", OURS),
            ),
        ),
        Class(
            ("edge_admin.audit_line.AuditLine",),
            OURS,
            (
                *attributes("at user_name action about organization_name token_id request_id", OURS),
                method("to_dict", "", OURS),
            ),
        ),
        Class(
            ("edge_admin.quota.Quota",),
            OURS,
            (
                *attributes(
                    "storage_bytes used_bytes upload_bytes deleted_bytes limit_bytes deleted_limit_bytes", OURS
                ),
                method("to_dict", "", OURS),
            ),
        ),
    ),
)


def _error(name: str, mark: str, members: tuple[Member, ...] = ()) -> Class:
    return Class((f"edge.api.{name}",), mark, members, error=True)


ERRORS = Section(
    "Errors",
    "test_errors",
    (
        _error("NotFound", SEEN),
        _error("AlreadyExists", SEEN),
        _error("BadEntry", SEEN),
        _error("EdgeError", OURS),
        _error("ApiError", OURS, attributes("status code request_id method url", OURS)),
        _error("Unauthenticated", OURS),
        _error("Forbidden", OURS),
        _error("Conflict", OURS),
        _error("QuotaExceeded", OURS),
        _error("ServerError", OURS),
        _error("ConnectionFailed", OURS),
        _error("BadResponse", OURS),
        _error("ChecksumError", OURS),
        Class(("edge.api.EdgeSessionError",), OLD, ()),  # a base: what is raised is a ConfigurationError
        _error("ConfigurationError", OURS),
        _error("PluginError", OURS),
        _error("MissingPackage", OURS),
    ),
)

SECTIONS = (SESSION, FILES, SOURCES, APPLICATIONS, TOKENS, WHOAMI, COMPUTE, BILLING, SECRETS, ADMIN, ERRORS)
