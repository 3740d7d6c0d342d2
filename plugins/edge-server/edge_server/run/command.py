"""The commands of `edge server`, each of which names a data folder."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_cli import output
from edge_server.base import configuration
from edge_server.base.problems import CannotStart

if TYPE_CHECKING:
    from edge_server.identity.hub_identity import HubIdentity
    from edge_server.identity.renaming import Kind
    from edge_server.keys.rotation import Rotation
    from edge_server.run.lost_keys import Closed

plugin_api = 1

NAMED = 50
"""Names of what is lost that a line lists at most; JSON has all."""

_data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("edge-data"),
    show_default=True,
    help="Folder that holds all of the server's data.",
)


def _refuse_root(context: click.Context, _: click.Parameter, data: Path) -> Path:
    """Keep root from leaving files in the folder of another user's server, which could not use them then."""
    if os.name == "posix" and os.geteuid() == 0 and not context.resilient_parsing and data.is_dir():
        owner = data.stat().st_uid
        if owner != 0:
            import pwd

            try:
                name = pwd.getpwuid(owner).pw_name
            except KeyError:
                name = f"#{owner}"
            raise click.ClickException(
                f"{data} belongs to the user {name}, whose server could not use what root leaves in it; run: "
                f"runuser -u {shlex.quote(name)} -- edge server {context.info_name} ..."
            )
    return data


_own_data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("edge-data"),
    show_default=True,
    callback=_refuse_root,
    help="Folder that holds all of the server's data.",
)


_config = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=configuration.PATH_VARIABLE,
    help="File of settings, in place of server.toml in the data folder.",
)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Show in one line why the server cannot start."""
    try:
        yield
    except CannotStart as error:
        raise click.ClickException(str(error)) from None


@click.group()
def server() -> None:
    """Run an Edge server on this machine."""
    # Nothing in the data folder is for the machine's other users.
    os.umask(0o077)


@server.command()
@_own_data
@_config
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8790, show_default=True, help="Port to listen at; 0: any free one."
)
@click.option(
    "--url-prefix",
    metavar="PATH",
    help="Path that all addresses begin with, such as /services/api; by default what the settings say, or none.",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Processes; by default what the settings say, or 1.")
@click.option("--threads", type=click.IntRange(1, 512), default=16, show_default=True, help="Threads of each process.")
@click.option(
    "--uploads",
    type=click.IntRange(1, 512),
    default=64,
    show_default=True,
    help="Bodies that each process receives at once beside that; a quarter of them from one user.",
)
@click.option("--access-log", is_flag=True, help="Write a line for each request to logs/access.log in the data folder.")
@click.option(
    "--first-token-days",
    type=click.IntRange(0, 36_500),
    default=90,
    show_default=True,
    help="Days that the token of a first start is good for; 0: it never expires.",
)
@click.option(
    "--ends-with",
    type=click.IntRange(1),
    metavar="PID",
    help="Process that starts the server as its child, and with which it ends.",
)
def run(
    data: Path,
    config: Path | None,
    host: str,
    port: int,
    url_prefix: str | None,
    workers: int | None,
    threads: int,
    uploads: int,
    access_log: bool,
    first_token_days: int,
    ends_with: int | None,
) -> None:
    """Start the server; on an empty folder with an organization, an admin and a token.

    It stops on Ctrl-C, after the requests it is answering.
    """
    from edge_server.identity.hub_identity import hub_of
    from edge_server.run import app, data_folder, log_files, logs, process, server_settings, start
    from edge_server.run.metrics import Metrics, shared_folder
    from edge_server.run.monitoring import Monitoring

    folder, config = data.absolute(), None if config is None else config.absolute()
    url_prefix = _parsed(url_prefix)
    with _explained(), contextlib.ExitStack() as stack:
        stack.enter_context(data_folder.locked(folder))
        settings = configuration.of_server(folder, config)
        prefix = server_settings.url_prefix_of(settings) if url_prefix is None else url_prefix
        logs.require_writable(settings)
        workers = server_settings.workers_of(settings) if workers is None else workers
        process.require_able(workers)
        listener = stack.enter_context(process.inherited() or process.listen(host, port))
        url = f"{process.url_of(listener)}{prefix}"
        watched = server_settings.metrics_listen_of(settings)
        metrics = monitoring_url = None
        if watched is not None:
            monitoring_listener = stack.enter_context(process.listen(*watched, ("[server] metrics_listen",) * 2))
            monitoring_url = process.url_of(monitoring_listener)
            # Before plugins are loaded, which may import prometheus_client.
            metrics = Metrics(stack.enter_context(shared_folder(folder)))
        engines, loaded, token = start.prepare(
            folder,
            config,
            first_token=dt.timedelta(days=first_token_days) if first_token_days else None,
            threads=threads,
        )
        greeting = stack.enter_context(_Greeting(folder, url, token, first_token_days, hub=hub_of(engines.identity)))
        application = app.build(engines, loaded, prefix=prefix, observer=metrics)
        monitoring = None
        if metrics is not None:
            engines.database.waited = metrics.waited
            engines.background.ran = metrics.ran
            monitoring = Monitoring(engines, metrics, monitoring_listener)
        log = None
        if access_log:
            log = folder / "logs" / log_files.ACCESS_FILE
            with data_folder.explained(folder):
                log.parent.mkdir(mode=0o700, exist_ok=True)
        if not process.is_loopback(listener):
            output.note("Warning: others can reach this address, and tokens travel in clear; put a TLS proxy in front.")
        logs.install(settings)
        stack.enter_context(data_folder.announced(folder, url, monitoring_url))
        process.serve(
            application,
            listener,
            folder,
            workers=workers,
            threads=threads,
            uploads=uploads,
            access_log=log,
            ready=greeting.show,
            monitoring=monitoring,
            starter=ends_with,
        )


def _parsed(url_prefix: str | None) -> str | None:
    from edge_server.web import url_prefix as prefixes

    try:
        return None if url_prefix is None else prefixes.parse(url_prefix)
    except ValueError as error:
        raise click.UsageError(f"--url-prefix: {error}") from None


@server.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("/var/lib/edge"),
    show_default=True,
    help="Folder that holds all of the server's data.",
)
@_config
@click.option("--user", default="edge", show_default=True, metavar="NAME", help="The system's user that it runs as.")
@click.option(
    "--socket",
    "of_socket",
    is_flag=True,
    help="Print the socket unit instead, by which systemd listens also while the server starts anew.",
)
@click.argument("options", nargs=-1, metavar="[-- OPTIONS]")
def unit(data: Path, config: Path | None, user: str, of_socket: bool, options: tuple[str, ...]) -> None:
    """Print a unit file for systemd that runs the server of this installation; OPTIONS are those of `run`.

    Use it as: edge server unit -- --access-log > /etc/systemd/system/edge-server.service
    """
    from edge_server.run import systemd

    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        raise click.UsageError(f"--user: {user!r} is not the name of a system's user")
    folder, file = data.absolute(), None if config is None else config.absolute()
    for path in (folder, file):
        if path is not None and not re.fullmatch(r"[\w./@+-]+", str(path)):
            raise click.UsageError(f"{str(path)!r} cannot stand in a unit file; choose a plainer path")
    parameters = _options_of_run(options)
    if of_socket:
        output.text(systemd.socket_unit(_stream(parameters["host"], parameters["port"])))
        return
    if not data.is_absolute():
        output.note(
            f"Warning: the unit file names {folder}, as --data is relative; name the whole path if that is not it."
        )
    if not folder.is_dir() and not systemd.is_state(folder):
        owner = f"-o {user} -g {user}"
        output.note(f"Warning: systemd starts no server without {folder}; make it: install -d -m 700 {owner} {folder}")
    if user == "root":
        output.note("Warning: a server needs none of root's rights; name a user of its own with --user.")
    output.text(systemd.unit(folder, file, user, options))


def _stream(host: str, port: int) -> str:
    """What systemd listens at, which looks up no names."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise click.UsageError(f"systemd looks up no names; name an address in place of --host {host}") from None
    if port == 0:
        raise click.UsageError("systemd chooses no port; name one by --port")
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _options_of_run(options: tuple[str, ...]) -> dict[str, Any]:
    context = click.Context(run, info_name="run")
    try:
        _, _, parameters = run.make_parser(context).parse_args(list(options))
        if {parameter.name for parameter in parameters} & {"data", "config"}:
            raise click.UsageError(
                "name --data and --config before the --, since more of the unit file depends on them"
            )
        if not set(parameters) <= set(run.params):
            raise click.UsageError("--help starts no server; leave it out")
        values = run.make_context("run", list(options)).params
        _parsed(values["url_prefix"])
        return values
    except click.UsageError as error:
        raise click.UsageError(
            f"`edge server run` does not take what is after the --: {error.format_message()}"
        ) from None


@server.command()
@_own_data
@_config
def migrate(data: Path, config: Path | None) -> None:
    """Bring the database to what this version needs, and start nothing.

    `edge server run` does so by itself where the database is in the data folder. A database on PostgreSQL, which other
    hosts use meanwhile, is migrated by this alone; back it up before.
    """
    from edge_server.run import logs, start

    logs.show()
    with _explained():
        before, after = start.migrate_only(data.absolute(), config)
    output.line(f"The database is at revision {after}" + ("" if before == after else f"; it was at {before or 'none'}"))


@server.command()
@_data
@_config
def check(data: Path, config: Path | None) -> None:
    """Try the settings, the database, the keys, their keeper and the store, and say what cannot be used.

    Nothing is made or changed. The exit code is 1 if something cannot be used. A server starts all the same where that
    is OpenBao or Vault, and refuses secrets meanwhile.
    """
    from edge_server.run import checks

    usable = True
    for each in checks.check(data.absolute(), config):
        usable = usable and each.is_usable
        output.line(f"{each.name}: {'' if each.is_usable else 'cannot be used: '}{each.sentence}")
    if not usable:
        raise click.exceptions.Exit(1)


@server.command()
@_data
@_config
@click.option("--user", metavar="NAME", help="Whose token, such as of someone who lost theirs; the admin's by default.")
def env(data: Path, config: Path | None, user: str | None) -> None:
    """Print the settings for the running server, with a new token that is good for 30 days.

    Use it as: eval "$(edge server env)"
    """
    from edge_server.run import data_folder

    with _explained():
        output.text(data_folder.local_access(data.absolute(), user, config).exports())


@server.command("rename-user")
@_own_data
@_config
@click.argument("name")
@click.argument("new_name")
def rename_user(data: Path, config: Path | None, name: str, new_name: str) -> None:
    """Give the user NAME another name, while the server does not run."""
    from edge_admin.names import USER_NAME, is_user_name
    from edge_server.identity import renaming

    if not is_user_name(new_name):
        raise click.UsageError(f"{new_name!r} is not a user's name; {USER_NAME.advice}")
    _rename(data, config, renaming.USER, name, new_name)


@server.command("rename-organization")
@_own_data
@_config
@click.argument("name")
@click.argument("new_name")
def rename_organization(data: Path, config: Path | None, name: str, new_name: str) -> None:
    """Give the organization NAME another short name, while the server does not run.

    Clients have to change their settings then.
    """
    from edge_admin.names import ORGANIZATION_NAME, is_organization_name
    from edge_server.identity import renaming

    if not is_organization_name(new_name):
        raise click.UsageError(f"{new_name!r} is not an organization's short name; {ORGANIZATION_NAME.advice}")
    _rename(data, config, renaming.ORGANIZATIONS, name, new_name)


def _rename(data: Path, config: Path | None, kind: Kind, name: str, new_name: str) -> None:
    from edge_server.run import start

    with _explained():
        start.rename(data.absolute(), config, kind, name, new_name)
    output.line(f"The {kind.name} {name} is called {new_name} now")


@server.command("rotate-keys")
@_own_data
@_config
@click.option(
    "--keep-days",
    type=click.IntRange(0, 36_500),
    default=30,
    show_default=True,
    help="How long replaced keys stay in the file, to open copies of the database made before.",
)
@click.option("--lost", is_flag=True, help="The key file is gone for good: go on without what it sealed.")
@click.option("--signing", is_flag=True, help="Replace the key that signs addresses, and nothing else.")
def rotate_keys(data: Path, config: Path | None, keep_days: int, lost: bool, signing: bool) -> None:
    """Encrypt secrets and kept passwords anew with a new key, also while the server runs.

    Killed in the middle, it can be run again. Back up the key file afterwards.

    Where [secrets] keeper is "transit", everything is encrypted anew with the newest version of the key of OpenBao or
    Vault, which is made there. After a change of the keeper, this moves everything to the new one.

    With --signing, addresses that were given out end when the server is started again.
    """
    from edge_server.run import logs, start

    if lost and signing:
        raise click.UsageError("--lost and --signing are about different keys; run one after the other")
    folder = data.absolute()
    logs.show()
    if signing:
        with _explained():
            file = start.renew_signing(folder, config)
        output.line(f"A new key signs in {file}; copy it to the other hosts if there are any, and start all anew.")
        return
    with _explained():
        done = start.rotate_keys(folder, config, kept=dt.timedelta(days=keep_days), lost=lost)
    if done.lost:
        _note_lost(done.lost)
        output.note("Whose they are can set them anew or delete them.")
    output.line(_what_sealed(done))
    if done.stuck:
        raise click.ClickException(
            f"{done.stuck} contents could not be opened and stay as they are; the lines above name them"
        )


def _what_sealed(done: Rotation) -> str:
    unreached = (
        f"the database has tables of {', '.join(done.unreached)}, whose plugin is not loaded; install it or switch it "
        "on and rotate again, or drop its tables if it never comes back."
    )
    if done.version is not None:
        rest = f" What is sealed for others stays as it is: {unreached}" if done.unreached else ""
        return f"Version {done.version} of the key seals; {done.resealed} contents were sealed anew.{rest}"
    if done.lost is not None:
        rest = f" What is sealed for others was not looked at: {unreached}" if done.unreached else ""
        return (
            f"A new key seals; {done.resealed} contents were sealed anew. Older keys: none, they are lost. "
            f"Back up {done.file} now.{rest}"
        )
    older = f"{done.kept} stay for copies of the database, {done.removed} were removed."
    if done.unreached:
        older = f"all {done.kept} stay, since {unreached}"
    return f"A new key seals; {done.resealed} contents were sealed anew. Older keys: {older} Back up {done.file} now."


@server.command()
@_own_data
@_config
@click.option(
    "--deep", is_flag=True, help="Also read all content and compare its SHA-256; takes as long as that takes."
)
@output.quiet_option
def fsck(data: Path, config: Path | None, deep: bool, quiet: bool) -> None:
    """Check that the content of all files, and of plugins, is there, also while the server runs.

    Drops files in the data folder that belong to nothing. Missing or damaged content is listed by
    path and version, that of plugins by table and row, and makes the exit code 1; nothing is changed about it.
    """
    from edge_server.run import start
    from edge_vfs.progress import Tracker

    with _explained(), Tracker("check", "", progress=False if quiet else None) as tracker:
        report = start.check(data.absolute(), config, deep=deep, tracker=tracker)
    for line in (*report.broken, *report.damages):
        output.line(line)
    for name in report.recounted:
        output.line(f"{name}: what its files hold was counted wrongly and is set right")
    contents = f" and {report.contents} contents of plugins" if report.contents else ""
    output.line(
        f"{report.versions} versions{contents} checked, {len(report.damages)} missing or damaged, "
        f"{report.orphans} orphaned files dropped"
    )
    if not report.is_clean:
        raise click.exceptions.Exit(1)


@server.command()
@_own_data
@_config
@click.option("--org", "organization", metavar="NAME", help="Only of this organization.")
@output.json_option
def purge(data: Path, config: Path | None, organization: str | None, as_json: bool) -> None:
    """Free deleted and replaced content at once, also while the server runs.

    What is freed can no longer be restored; the newest version of each file stays.
    """
    from edge_core.sizes import shown
    from edge_server.run import start

    with _explained():
        versions, freed = start.purge(data.absolute(), config, organization=organization)
    output.done(
        f"{versions} deleted or replaced versions dropped, {shown(freed)} freed",
        {"versions": versions, "freed_bytes": freed},
        as_json=as_json,
    )


@server.command()
@_data
@_config
@output.json_option
def status(data: Path, config: Path | None, as_json: bool) -> None:
    """Tell how the server is: its version, engines, sizes, open uploads, and what is left to do in the background.

    The exit code is 1 if it cannot be told, or if the server runs and work has been due for more than an hour.
    """
    from edge_core.sizes import shown
    from edge_server.run import status as statuses

    with _explained():
        current = statuses.status(data.absolute(), config)
    if as_json:
        output.json(current.to_dict())
    else:
        held = current.totals
        lines = {
            "version": f"{current.version}, database at revision {current.revision}",
            "address": current.url or "no server runs",
            "database": f"{current.database}, {shown(current.database_bytes)}",
            "content": f"{current.store}, {shown(held.used)} and {shown(held.deleted)} deleted",
            "data folder": f"{shown(current.free_bytes)} free on its disk",
            "secrets": f"sealed by {current.keeper}",
            "accounts": f"{current.organizations} organizations, {current.users} users, {current.files} files",
            "uploads": f"{held.uploads} open, {shown(held.upload_bytes)} reserved",
        }
        for each in current.due:
            late = f", the oldest for {each.lag.total_seconds() / 60:.0f} minutes" if each.amount else ""
            lines[each.kind] = f"{each.amount} to clear away{late}"
        output.fields(lines)
    if current.late:
        kinds = " and ".join(each.kind for each in current.late)
        raise click.ClickException(f"{kinds} should have been cleared away an hour ago; look at the server's log")


@server.command("logs")
@click.argument("kind", type=click.Choice(["server", "access", "audit"]), default="server")
@_data
@_config
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="The last so many lines."
)
@click.option("-f", "--follow", is_flag=True, help="Show further lines as they come, until Ctrl-C.")
def show_logs(kind: str, data: Path, config: Path | None, lines: int, follow: bool) -> None:
    """Show the last lines of a log: the server's own, that of requests (access) or that of who did what (audit)."""
    from edge_server.run import data_folder, log_files

    folder = data.absolute()
    with _explained(), data_folder.explained(folder):
        file = log_files.opened(kind, folder, configuration.of_server(folder, config))
    # Outside of that, as a pipe that nobody reads any more is no fault of the folder.
    with contextlib.closing(log_files.lines_of(file, lines, follow=follow)) as shown:
        for line in shown:
            output.text(line)
            if follow:
                output.flush()


@server.command()
@_data
@_config
@output.json_option
def users(data: Path, config: Path | None, as_json: bool) -> None:
    """List the users, their organizations and roles, and when a token of theirs was used last."""
    from edge_server.run import status as statuses

    with _explained():
        accounts = statuses.users(data.absolute(), config)
    if as_json:
        output.json([account.to_dict() for account in accounts])
        return
    rows = [
        (
            account.user_name,
            "yes" if account.server_admin else "",
            ", ".join(" ".join([name, *roles]) for name, roles in account.organizations.items()),
            account.tokens,
            "never" if account.last_used_at is None else f"{account.last_used_at:%Y-%m-%d %H:%M}",
        )
        for account in accounts
    ]
    output.table(rows, ("user", "server admin", "organizations", "tokens", "last used"), numeric=("tokens",))


@server.command()
@_own_data
@_config
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="File of settings of the new server, which name its database, its store and its keys.",
)
@click.option(
    "--to-data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Data folder of the new server; by default the folder of its file of settings.",
)
@click.option("--drop-uploads", is_flag=True, help="Drop uploads that are open; their senders begin anew.")
@click.option(
    "--accept-damaged", is_flag=True, help="Go on with content that is missing or damaged, as it is, and list it."
)
@output.json_option
@output.quiet_option
def move(
    data: Path,
    config: Path | None,
    to: Path,
    to_data: Path | None,
    drop_uploads: bool,
    accept_damaged: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Move a server that does not run to PostgreSQL, to a bucket, or to another folder.

    All rows and all content are copied, compared at the end, and left where they are. Interrupted or killed at any
    moment, it can be run again and goes on where it was; until it has ended, no server starts on either side.
    """
    from edge_server.run import move as moving
    from edge_vfs.progress import Tracker

    folder, settings = data.absolute(), to.absolute()
    new_folder = settings.parent if to_data is None else to_data.absolute()
    is_shown = False if quiet or as_json else None
    with _explained():
        report = moving.move(
            folder,
            config,
            settings,
            new_folder,
            track=lambda name: Tracker("check" if name == "check" else "upload", name, progress=is_shown),
            drop_uploads=drop_uploads,
            accept_damaged=accept_damaged,
        )
    if not as_json:
        for damage in report.damages:
            output.line(damage)
    start = f"edge server run --config {shlex.quote(str(settings))} --data {shlex.quote(str(new_folder))}"
    moved = f"{report.rows} rows of {report.tables} tables and {report.contents} contents moved and compared"
    outcome = {
        "ended": report.has_ended,
        "tables": report.tables,
        "rows": report.rows,
        "contents": report.contents,
        "damages": [str(damage) for damage in report.damages],
        "keys": str(report.keys),
        "files": report.files,
    }
    if not report.has_ended and as_json:
        output.json(outcome, indent=None)
    if not report.has_ended:
        raise click.ClickException(
            f"{len(report.damages)} contents are missing or damaged in {folder}; put back backups of them there and "
            "run this again, or move them as they are by --accept-damaged"
        )
    sentence = moved if report.tables else "It was moved before, and nothing is left to do"
    output.done(
        f"{sentence}; start the server with `{start}`; each further host needs the keys in {report.keys}; {folder} "
        "stays as it was until you remove it",
        outcome,
        as_json=as_json,
    )


@server.command()
@_own_data
@_config
@click.argument("folder", metavar="TO", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for copies of the keys, on another disk than TO; by default they are not copied.",
)
@click.option("--deep", is_flag=True, help="Also read the content that is shared with the backup before.")
@output.quiet_option
@output.json_option
def backup(
    data: Path, config: Path | None, folder: Path, keys: Path | None, deep: bool, quiet: bool, as_json: bool
) -> None:
    """Back up the server into a new folder in the folder TO, also while it runs.

    It is called by the time in UTC, and shares the content that has not changed with the backup before, by hard links.
    Older ones can be removed as a whole.

    Content that is damaged or missing already is listed by path and version, and makes the exit code 1; all else is
    backed up.
    """
    from edge_core.sizes import shown
    from edge_server.keys import sealing
    from edge_server.run import backup as backups
    from edge_vfs.progress import Tracker

    with _explained(), Tracker("copy", "", progress=False if quiet else None) as tracker:
        report = backups.back_up(
            data.absolute(),
            folder.absolute(),
            config,
            keys=None if keys is None else keys.absolute(),
            deep=deep,
            tracker=tracker,
        )
    about = report.about
    damages = [str(damage) for damage in report.damages]
    if not as_json:
        for damage in damages:
            output.line(damage)
        if about.open_uploads:
            output.note(f"{about.open_uploads} uploads that are open are no part of it.")
        if report.is_clock_behind:
            output.note(
                "The clock is behind the backup before, so this one is called by the moment after that; set the clock, "
                "or remove what is called by a time to come."
            )
        if report.is_sealed and sealing.FILE_NAME not in report.key_files:
            output.note(
                f"The server has no {sealing.FILE_NAME}, without which secrets and passwords in the backup are lost: "
                "put it back."
            )
        elif report.is_sealed and keys is None:
            output.note(
                "It has no keys, without which secrets and passwords in it are lost: keep a copy of sealing.keys and "
                "signing.key in another place, such as by --keys."
            )
    output.done(
        f"{report.folder} has {about.files} files, {shown(about.content_bytes)}; {report.shared} of {about.contents} "
        f"contents are shared with the backup before, {len(damages)} damaged or missing",
        {
            "backup": str(report.folder),
            "keys": None if report.keys is None else str(report.keys),
            "key_files": report.key_files,
            "sealed": report.is_sealed,
            "files": about.files,
            "contents": about.contents,
            "content_bytes": about.content_bytes,
            "shared": report.shared,
            "open_uploads": about.open_uploads,
            "damaged": damages,
        },
        as_json=as_json,
    )
    if damages:
        raise click.exceptions.Exit(1)


@server.command()
@_own_data
@_config
@click.argument("folder", metavar="FROM", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the keys, as the backup was told; without, what is sealed is lost unless you put them back.",
)
@output.quiet_option
@output.json_option
def restore(data: Path, config: Path | None, folder: Path, keys: Path | None, quiet: bool, as_json: bool) -> None:
    """Make a data folder, which is missing or empty, from the backup FROM, or from the newest in the folder FROM.

    Content that is damaged or missing in it is listed by path and version, and makes the exit code 1; all else is
    restored. A backup by an older version is migrated when the server starts.
    """
    from edge_core.sizes import shown
    from edge_server.run import restore as restoring
    from edge_vfs.progress import Tracker

    with _explained(), Tracker("copy", "", progress=False if quiet else None) as tracker:
        report = restoring.restore(
            folder.absolute(),
            data.absolute(),
            config,
            keys=None if keys is None else keys.absolute(),
            tracker=tracker,
        )
    about = report.about
    if not as_json:
        for damage in report.damages:
            output.line(damage)
        _note_lost(report.lost)
        if report.lost:
            output.note(
                "Put the sealing.keys of that time into its place, or go on without what it sealed: "
                f"edge server rotate-keys --lost --data {shlex.quote(str(data))}"
            )
        if report.settings is not None:
            output.note(
                f"The settings name places of the server that was backed up, so they are in {report.settings}; change "
                "these and call it server.toml."
            )
        if about.open_uploads:
            output.note(f"{about.open_uploads} uploads that were open are no part of it; they begin anew.")
    output.done(
        f"{data} is as it was at {about.created_at}: {about.files} files, {shown(about.content_bytes)}, "
        f"{about.organizations} organizations, {about.users} users; {len(report.damages)} damaged or missing",
        {
            "backup": str(report.backup),
            "created_at": about.created_at,
            "version": about.version,
            "revision": about.revision,
            "files": about.files,
            "contents": about.contents,
            "content_bytes": about.content_bytes,
            "organizations": about.organizations,
            "users": about.users,
            "open_uploads": about.open_uploads,
            "lost": report.lost,
            "settings": None if report.settings is None else str(report.settings),
            "damaged": report.damages,
        },
        as_json=as_json,
    )
    if report.damages:
        raise click.exceptions.Exit(1)


def _note_lost(lost: Closed) -> None:
    for table, by_organization in lost.items():
        for organization, names in by_organization.items():
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            output.note(
                f"Without its key, {len(names)} of the table {table} of {organization or 'no organization'} cannot "
                f"be opened: {', '.join(names[:NAMED])}{more}."
            )


class _Greeting:
    """Says where the server listens, once; each line is flushed, for whoever reads through a pipe.

    The token that a first start makes is shown also where the start fails after that: nobody could come by it later.
    """

    def __init__(
        self, data: Path, url: str, token: str | None, first_token_days: int, *, hub: HubIdentity | None
    ) -> None:
        self._data = data
        self._url = url
        self._token = token
        self._first_token_days = first_token_days
        self._hub = hub

    def __enter__(self) -> _Greeting:
        return self

    def __exit__(self, *_: object) -> None:
        self._show_token("did not start")

    def show(self) -> None:
        if self._show_token("listens"):
            return
        output.line(f"# An Edge server with its data in {self._data} listens at {self._url}")
        if self._hub is not None:
            output.line(f"# Its users and tokens are those of the JupyterHub at {self._hub.hub.api_url}")
            return
        output.line(f'# Settings for a shell: eval "$(edge server env --data {shlex.quote(str(self._data))})"')

    def _show_token(self, state: str) -> bool:
        """Show the token that this start has made, once; whether there was one to show."""
        from edge_server.run import data_folder

        token, self._token = self._token, None
        if token is None:
            return False
        output.line(f"# An Edge server with its data in {self._data} {state}. This token is shown only now:")
        output.text(data_folder.Access(self._url, data_folder.ORGANIZATION, token).exports())
        if self._first_token_days:
            output.line(
                f"# It is good for {self._first_token_days} days. Keep it in a profile by "
                f"`edge login {shlex.quote(self._url)}`, and `edge login --renew` renews it."
            )
        return True
