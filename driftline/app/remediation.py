"""What keeps records from being lost again, by the reason that a gap tells."""

from __future__ import annotations

MENDS = {
    "full": "see that what stores them runs, or raise [capture] spool_max_bytes",
    "io_error": "make room on the disk of the spool, or mend it",
    "tap_error": "see the log of the server for the fault, and report it",
    "tap_off": "see the log of the server for a hundred faults in a row, then start it anew",
    "misuse": "see the log of the app for what dl.Logger was given that is no row",
    "corrupt": "check the disk of the spool",
    "torn": "nothing: a server was killed while it wrote",
    "power_loss": 'nothing, or [capture] durability = "request" where no record may be lost',
    "removed": "let nobody remove files from the spool",
    "receiver_killed": "nothing: a server was killed while it wrote an event",
    "receiver_damaged": "check the disk of the spool, and let nobody remove files from it",
    "poison": "see the topic of dead letters for who sends what is no letter",
    "missing": "nothing: an audit missed them, and somebody has accepted that",
    "retention": "let the topic keep records for longer than a sink may be away",
    "unreadable": "see that all processes are of one version",
}
