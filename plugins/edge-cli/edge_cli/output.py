"""What commands print: tables, JSON and text that a terminal cannot obey.

Names, notes and error messages come from a server, and so from other people. A terminal that is sent
such text as it is obeys the escape sequences in it: OSC 0 sets the window's title, OSC 52 the
clipboard, and a newline makes one name look like two. So every command prints by these functions,
and they show such characters as ``\\u001b``. A file's content and a secret's value keep theirs when they go
into a file or a pipe.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from csv import writer
from decimal import Decimal
from json import dumps
from operator import methodcaller
from typing import Any, TypeVar

import click

from edge_core.redaction import scrub_typed

_T = TypeVar("_T")
_Command = TypeVar("_Command", bound=Callable[..., Any] | click.Command)

_EXTRA = re.compile(r"Got unexpected extra arguments? \(.*\)", re.DOTALL)
"""What click says of arguments that a command does not take, with all of them."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""The option of commands that print JSON or text."""

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no progress; without a terminal there is none.")
"""The option of commands that show progress on standard error."""


def is_terminal() -> bool:
    """Whether a person sees standard output, and no file or program takes it."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    r"""The text on one line, with an escape for each character that a terminal would obey or not show.

    >>> print(printable("\x1b]0;owned\x07plate-7.csv\n"))
    \u001b]0;owned\u0007plate-7.csv\u000a
    """
    return _escaped(text, "")


def line(*cells: object, separator: str = "  ") -> None:
    """Print one line to standard output, in which a cell cannot begin another line or column.

    Args:
        cells: values; None is empty.
        separator: text between them.
    """
    click.echo(separator.join(map(_cell, cells)))


def note(text: str) -> None:
    """Print one line to standard error: what a person should know and a script should not read."""
    click.echo(printable(text), err=True)


def text(lines: str, *, err: bool = False, **style: Any) -> None:
    """Print text of several lines, such as a usage message or a traceback.

    Args:
        lines: the text; its newlines and tabs are printed.
        err: to standard error.
        style: colours and the like, as `click.secho` takes them.
    """
    click.secho(_escaped(lines.removesuffix("\n"), "\n\t"), err=err, **style)


def json(value: object, *, indent: int | None = 2) -> None:
    """Print a value as JSON; what has ``to_dict()``, such as a record, as its dictionary."""
    # ASCII, in which the delete character is the only one left that is no text.
    click.echo(dumps(value, indent=indent, default=methodcaller("to_dict")).replace("\x7f", "\\u007f"))


def table(rows: Iterable[Sequence[object]], columns: Sequence[str] = (), numeric: Iterable[str] = ()) -> None:
    """Print rows in columns as wide as their widest cell.

    Args:
        rows: the cells of each row; None is empty.
        columns: titles, printed as the first row; none by default.
        numeric: titles of the columns to align on the right.
    """
    cells = [[_cell(cell) for cell in row] for row in ([columns] if columns else []) + list(rows)]
    if not cells:
        return
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = {columns.index(name) for name in numeric}
    for row in cells:
        padded = [
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(padded).rstrip())


def records(
    entries: Sequence[_T],
    row: Callable[[_T], Sequence[object]],
    *,
    as_json: bool,
    columns: Sequence[str] = (),
    numeric: Iterable[str] = (),
) -> None:
    """Print a list as JSON, or as a `table`.

    Args:
        entries: records or dictionaries.
        row: gives the cells of an entry.
        as_json: whether it is JSON.
        columns: titles of the table.
        numeric: titles of the columns to align on the right.
    """
    if as_json:
        json(entries)
    else:
        table(map(row, entries), columns, numeric)


def fields(values: Mapping[str, object]) -> None:
    """Print a line for each name and its value."""
    for name, field in values.items():
        line(f"{name}:", field, separator=" ")


def csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print CSV with a header."""
    writer(sys.stdout, lineterminator="\n").writerows([_cell(cell) for cell in row] for row in [columns, *rows])


def done(sentence: str, outcome: Mapping[str, object], *, as_json: bool) -> None:
    """Tell what was done: a sentence on standard error, or JSON on standard output."""
    if as_json:
        json(outcome, indent=None)
    else:
        note(sentence)


def value(content: str) -> None:
    """Print a value that a script takes over, exactly; on a terminal its control characters are escaped."""
    # Half of a surrogate pair, which JSON can hold and UTF-8 cannot, is escaped in a pipe as well.
    exact = content.encode(errors="backslashreplace").decode()
    click.echo(_escaped(exact, "\n\t") if is_terminal() else exact)


def content(blocks: Iterable[bytes]) -> None:
    """Write bytes to standard output, exactly; on a terminal they are text whose control characters are escaped.

    Args:
        blocks: the bytes, in pieces of any size.
    """
    if is_terminal():
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("backslashreplace"), True)
        for block in blocks:
            sys.stdout.write(_escaped(decoder.decode(block), "\n\t"))
        sys.stdout.write(_escaped(decoder.decode(b"", final=True), "\n\t"))
    else:
        for block in blocks:
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()


def error(sentence: str) -> None:
    """Print the one line of an error to standard error, without tokens that it may repeat."""
    note(f"Error: {scrub_typed(sentence)}")


def wrong_call(error: click.ClickException) -> None:
    """Print what click has to say about a command that was called wrongly, without what may be secret in the call."""
    message = io.StringIO()
    error.show(message)
    shown = _EXTRA.sub(
        "Got unexpected extra arguments, which are not shown as they may be secret; leave them out, and put quotes "
        "around an argument that has spaces",
        message.getvalue(),
    )
    text(scrub_typed(shown), err=True)


def prompt(
    question: str, *, optional: bool = False, hidden: bool = False, err: bool = False, choices: Sequence[str] = ()
) -> str:
    """Ask at the terminal and return the answer.

    Args:
        question: what is asked for.
        optional: whether an empty answer will do; else the question is repeated.
        hidden: for passwords: the answer is not shown.
        err: ask on standard error, where standard output is for the result.
        choices: the answers that will do, if not any; else the question is repeated.
    """
    answer: str = click.prompt(
        printable(question),
        default="" if optional else None,
        show_default=False,
        hide_input=hidden,
        err=err,
        type=click.Choice(choices) if choices else None,
    )
    return answer


def confirm(question: str) -> None:
    """Ask on standard error, and stop the command unless the answer is yes.

    The command has an option `--yes` with which it does not ask.

    Raises:
        click.UsageError: nobody is there to answer.
        click.Abort: the answer is no.
    """
    try:
        click.confirm(printable(question), abort=True, err=True)
    except click.Abort as error:
        if isinstance(error.__context__, EOFError) and not sys.stdin.isatty():
            raise click.UsageError("there is no terminal, where someone could answer; give --yes") from None
        raise


def confirmation_option(question: str) -> Callable[[_Command], _Command]:
    """The option `--yes` of a command that asks first, by `confirm`."""

    def ask(_context: click.Context, _option: click.Parameter, yes: bool) -> None:
        if not yes:
            confirm(question)

    return click.option("--yes", is_flag=True, callback=ask, expose_value=False, help="Do not ask: go on.")


def flush() -> None:
    """Hand all of standard output over; BrokenPipeError if nobody reads it any more."""
    sys.stdout.flush()


def discard() -> None:
    """Drop what standard output still holds, since nobody reads it any more; Python would complain on exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cell(cell: object) -> str:
    if cell is None:
        return ""
    # A small amount of money as 0.0000001, not 1E-7.
    return printable(format(cell, "f") if isinstance(cell, Decimal) else str(cell))


def _escaped(text: str, kept: str) -> str:
    return "".join(char if char.isprintable() or char in kept else _escape(char) for char in text)


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
