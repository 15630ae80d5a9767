# SPDX-License-Identifier: GPL-3.0-or-later
"""The hostile middle: NAT by this machine's kernel, everything worse by cs-middle on NFQUEUE."""

import json
import os
import subprocess
import time
from pathlib import Path

from . import netns
from .paths import REPO
from .proc import LabError, end_all, pids_naming, run

ACTIONS = ("pass", "drop", "duplicate", "reorder", "corrupt", "replay", "atomic")
TOWARD = {"gwa": ("wana",), "gwb": ("wanb",), "both": ("wana", "wanb")}
MATCHES = {"esp": (("-p", "esp"),), "ah": (("-p", "ah"),), "all": ((),),
           "natt": (("-p", "udp", "--dport", "4500"), ("-p", "udp", "--sport", "4500"))}
MARK = "0x4d"  # cs-middle's own packets, so that they are not queued again
QUEUE = "77"
START_LIMIT = 10


def program():
    builds = [Path(os.environ["CS_BUILD"])] if "CS_BUILD" in os.environ else (REPO / "build").glob("*")
    programs = [path for build in builds if (path := build / "tests/lab/middle/cs-middle").exists()]
    if programs:
        return max(programs, key=lambda path: path.stat().st_mtime)
    raise LabError("cs-middle is not built; first: cmake --preset dev && cmake --build --preset dev --target cs_middle")


def middle_namespace(lab):
    if "mid" not in lab.namespaces:
        raise LabError(f"lab '{lab.name}' has no middle; start one with: scripts/lab{lab.option()} up")
    return lab.namespaces["mid"]


class Hostile:
    def __init__(self, lab):
        self.namespace = middle_namespace(lab)
        self.stats, self.ready = lab.home / "middle.json", lab.home / "middle.ready"
        self.log = lab.home / "middle.log"
        self.process = None  # only where start() ran: the command that stops it is another process

    def running(self):
        return pids_naming(f"--stats-file\0{self.stats}")

    def start(self, action, toward="gwb", proto="esp", every=1, limit=None, offset=None):
        if self.running():
            raise LabError("the middle is hostile already; first: scripts/lab hostile stop")
        for file in (self.stats, self.ready):
            file.unlink(missing_ok=True)
        argv = [str(program()), "--queue", QUEUE, "--action", action, "--every", str(every),
                "--ready-file", str(self.ready), "--stats-file", str(self.stats)]
        argv += ["--limit", str(limit)] if limit is not None else []
        argv += [f"--offset={offset}"] if offset is not None else []
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(netns.inside(self.namespace, argv), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_LIMIT
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise LabError(f"cs-middle did not start: {self.log.read_text().strip()}")
            time.sleep(0.02)
        self.rules("-A", toward, proto)

    def stop(self):
        """Undoes it and returns what was done: {seen, acted, reinjected, malformed}."""
        for tool in ("iptables", "ip6tables"):
            run(netns.inside(self.namespace, [tool, "-t", "mangle", "-F", "FORWARD"]))
        if not self.running():
            raise LabError("the middle is not hostile now")
        end_all(self.running)
        if self.process:
            self.process.wait()
        try:
            return json.loads(self.stats.read_text())
        except FileNotFoundError:
            raise LabError(f"cs-middle left no statistics: {self.log.read_text().strip()}") from None

    def rules(self, verb, toward, proto):
        for tool in ("iptables", "ip6tables"):
            for interface in TOWARD[toward]:
                for match in MATCHES[proto]:
                    if tool == "ip6tables" and match == ("-p", "ah"):
                        match = ("-m", "ah")  # -p never matches an IPv6 extension header
                    run(netns.inside(self.namespace, [tool, "-t", "mangle", verb, "FORWARD", "-o", interface, *match, "-m", "mark",
                                                      "!", "--mark", MARK, "-j", "NFQUEUE", "--queue-num", QUEUE]))


def nat(lab, on):
    """Hides gateway A's address behind the middle's."""
    namespace = middle_namespace(lab)
    rule = ["POSTROUTING", "-o", "wanb", "-s", "192.0.2.0/24", "-j", "MASQUERADE"]
    present = subprocess.run(netns.inside(namespace, ["iptables", "-t", "nat", "-C", *rule]), check=False,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    if on != present:
        run(netns.inside(namespace, ["iptables", "-t", "nat", "-A" if on else "-D", *rule]))
