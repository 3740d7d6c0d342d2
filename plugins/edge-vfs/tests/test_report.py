"""What became of the files of a transfer."""

from __future__ import annotations

import errno
import pickle

import pytest

from edge_core.errors import AlreadyExists, ChecksumError, ConnectionFailed, Forbidden, QuotaExceeded, ServerError
from edge_vfs.report import NAMED, Failure, IncompleteTransfer, SyncReport, Tally, TransferReport, concerns_single_file


def test_a_report_tells_what_was_noted_in_the_order_of_the_paths() -> None:
    tally = Tally()
    taken = AlreadyExists("'b' exists already")
    tally.sent("c", 3)
    tally.sent("a", 4)
    tally.skipped("d")
    tally.failed("b", taken)
    report = tally.report()
    assert report == TransferReport(("a", "c"), ("d",), (Failure("b", taken),), 7, report.seconds)
    assert str(report).endswith(", 1 unchanged, 1 failed")
    assert str(report).startswith("2 files with 7 bytes in ")


def test_files_that_failed_are_an_error_with_the_report() -> None:
    tally = Tally()
    tally.sent("c", 3)
    assert tally.require_complete("uploaded").sent == ("c",)
    tally.failed("b", ChecksumError("the content is not what was sent"))
    with pytest.raises(IncompleteTransfer) as raised:
        tally.require_complete("uploaded")
    sentence = "1 of 2 files could not be uploaded, all others were: 'b': the content is not what was sent"
    assert str(raised.value) == sentence
    assert isinstance(raised.value.__cause__, ChecksumError)
    copy = pickle.loads(pickle.dumps(raised.value))
    assert str(copy) == sentence
    assert copy.report.failed[0].reason == "the content is not what was sent"


def test_the_sentence_stays_short() -> None:
    tally = Tally()
    for n in range(NAMED + 2):
        tally.failed(f"{n:02}", AlreadyExists("taken"))
    with pytest.raises(IncompleteTransfer, match=r"^12 of 12 files could not be sent: .*: taken; and 2 more, which"):
        tally.require_complete("sent")


@pytest.mark.parametrize(
    ("error", "single"),
    [
        (AlreadyExists("taken"), True),
        (QuotaExceeded("full"), True),
        (PermissionError(errno.EACCES, "no"), True),
        (ServerError("damaged", status=500), True),
        (ServerError("busy", status=503), False),
        (ServerError("full", status=507), False),
        (ConnectionFailed("gone"), False),
        (Forbidden("no"), False),
        (OSError(errno.ENOSPC, "full"), False),
        (TypeError("a bug"), False),
    ],
)
def test_what_the_next_file_would_meet_as_well_ends_the_call(error: Exception, single: bool) -> None:
    assert concerns_single_file(error) is single
    tally = Tally()
    if single:
        tally.failed("a", error)
        assert tally.report().failed[0].error is error
    else:
        with pytest.raises(type(error)):
            tally.failed("a", error)


def test_a_report_is_shown_in_short_however_many_files_it_names() -> None:
    paths = tuple(f"{n}.csv" for n in range(1000))
    assert repr(TransferReport(paths, (), (), 0, 1.0)) == "<TransferReport: 1000 files with 0 bytes in 1.0 s>"
    assert repr(SyncReport((), paths, (), 0, 1.0, ("old",))) == (
        "<SyncReport: 0 files with 0 bytes in 1.0 s, 1000 unchanged, 1 deleted>"
    )
