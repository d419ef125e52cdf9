"""Starts ExecStart of a unit whose program lies below a root, and plays the parts of systemd and of its
journal. Needs root, for a place of the journal's own."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

root, unit = map(pathlib.Path, sys.argv[1:])
settings = [line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line]
(command,) = [value.split() for name, value in settings if name == "ExecStart"]
given = dict(value.split("=", 1) for name, value in settings if name == "Environment")
(patience,) = [int(value) for name, value in settings if name == "TimeoutStopSec"]
(home,) = [value for name, value in settings if name == "WorkingDirectory"]
below = lambda path: root / path.lstrip("/")
config = given["LAPSED_CONFIG"]
below(home).mkdir(parents=True, exist_ok=True)


def hear(words, seconds=60):
    """Waits for the next datagram with `words`, and gives it back."""
    until, others = time.monotonic() + seconds, []
    while True:
        ears.settimeout(max(0.01, until - time.monotonic()))
        try:
            said = ears.recv(4096).decode()
        except TimeoutError:
            raise SystemExit(f"the daemon did not say {words} but {others}; its log:\n{log.read_text()}")
        if words in said:
            return said
        others.append(said)


def fields(line):
    """A line as the journal has it: the native protocol of systemd."""
    found = {}
    while line:
        name, _, line = line.partition(b"\n")
        if b"=" in name:
            name, _, value = name.partition(b"=")
        else:
            length = int.from_bytes(line[:8], "little")
            value, line = line[8 : 8 + length], line[8 + length + 1 :]
        found[name.decode()] = value.decode()
    return found


def journal_has(**wanted):
    """Waits for a line of the journal with these fields."""
    until, others = time.monotonic() + 60, []
    while True:
        journal.settimeout(max(0.01, until - time.monotonic()))
        try:
            line = fields(journal.recv(65536))
        except TimeoutError:
            raise SystemExit(f"the journal has no line with {wanted} but {others}; stderr:\n{log.read_text()}")
        if wanted.items() <= line.items():
            return line
        others.append(line)


# A place of the journal's own, and then the daemon itself.
JOURNAL = """mount -t tmpfs lapsed /run && mkdir -p /run/systemd/journal && mount --bind "$0" /run/systemd/journal \\
  && JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr) && export JOURNAL_STREAM && exec "$@\""""

with tempfile.TemporaryDirectory() as folder:
    log = pathlib.Path(folder) / "log"
    (pathlib.Path(folder) / "journal").mkdir()
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.bind(f"{folder}/journal/socket")
    ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ears.bind(f"{folder}/notify")
    env = given | {
        "LAPSED_CONFIG": str(below(config)),
        "NOTIFY_SOCKET": f"{folder}/notify",
        # A shorter one than the unit's: nobody wants to wait for it.
        "WATCHDOG_USEC": "3000000",
        "LAPSED_HTTP__LISTEN": "127.0.0.1:0",
        "PATH": os.environ["PATH"],
    }
    with log.open("w") as out:
        within = ["unshare", "--mount", "sh", "-c", JOURNAL, f"{folder}/journal"]
        daemon = subprocess.Popen([*within, below(command[0]), *command[1:]], env=env, cwd=below(home), stderr=out)
    try:
        hear("READY=1")
        started = journal_has(MESSAGE="Started lapsed", PRIORITY="6", SYSLOG_IDENTIFIER="lapsed")
        if started["LAPSED_DATABASE"] != "SQLite" or not started["CODE_FILE"]:
            raise SystemExit(f"the journal's line lacks its fields: {started}")
        hear("WATCHDOG=1", 3)
        good = below(config).read_text()
        below(config).write_text(good + "\n[lifecycle]\nwindow_days = 8\n")
        daemon.send_signal(signal.SIGHUP)
        hear("RELOADING=1")
        said = hear("READY=1")
        if "refused" in said:
            raise SystemExit(f"a good configuration was refused: {said}")
        below(config).write_text(good + "\n[lifecycle]\nwindow_dayz = 8\n")
        daemon.send_signal(signal.SIGHUP)
        hear("RELOADING=1")
        said = hear("READY=1")
        if "refused a new configuration" not in said or "window_dayz" not in said:
            raise SystemExit(f"a broken configuration was not refused: {said}")
        while "Refused the new configuration" not in journal_has(PRIORITY="3")["MESSAGE"]:
            pass
        hear("WATCHDOG=1", 3)
        below(config).write_text(good)
        daemon.terminate()
        hear("STOPPING=1")
        code = daemon.wait(patience)
        if code != 0:
            raise SystemExit(f"the daemon ended with {code}; its log:\n{log.read_text()}")
        if log.read_text():
            raise SystemExit(f"what went to the journal went to stderr too:\n{log.read_text()}")
    finally:
        if daemon.poll() is None:
            daemon.kill()
print(f"`{' '.join(command)}`: ready, in the journal, fed, reloaded, refused a broken file, stopped")
