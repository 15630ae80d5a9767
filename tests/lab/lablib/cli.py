# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/lab: the command line."""

import argparse
import json
import os
import signal
import sys
import time

from . import image, middle
from .endpoint import DEFAULT_LIMIT
from .lab import DEFAULT_NAME, TOPOLOGIES, Lab
from .proc import LabError

DESCRIPTION = """\
Two IPsec gateways as QEMU guests with real kernel ESP and AH, a TPM each, IMA on;
LAN hosts and a hostile router between them as namespaces of this machine:

    hosta -- gwa -- mid -- gwb -- hostb

  scripts/lab up                         boot it (builds the guest image the first time)
  scripts/lab run gwa -- ip xfrm state   run a command; its output and exit code come back
  scripts/lab capture mid wana -w x.pcap -f esp
  scripts/lab down                       leave nothing behind
"""

EPILOG = """\
exit codes of run: the command's own; 124 when its time limit passed; 125 when the
lab failed (a guest crashed, no such node, not up).
environment: CS_LAB names the lab (default 'lab'), CS_CACHE moves the image cache.
"""


def parser():
    top = argparse.ArgumentParser(prog="scripts/lab", description=DESCRIPTION, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--name", default=os.environ.get("CS_LAB", DEFAULT_NAME), help="which lab; several can stand side by side")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name, action, text):
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        return sub

    up = verb("up", do_up, "boot the lab; everything or nothing")
    up.add_argument("--topology", choices=TOPOLOGIES, default="two-gateways")
    up.add_argument("--guests", type=int, default=1, metavar="N", choices=range(1, 33), help="how many, for --topology guests (1 to 32)")
    up.add_argument("--fresh", action="store_true", help="take down what is left of an earlier one first")
    verb("down", do_down, "end every process, namespace, mount and file of the lab")
    verb("image", do_image, "build the guest image if it is not in the cache")
    status = verb("status", do_status, "the nodes and how they are; exit code 1 if a guest has crashed or lost its TPM")
    status.add_argument("--json", action="store_true")
    add_node_verbs(verb)
    add_middle_verbs(verb)
    return top


def add_node_verbs(verb):
    def node_verb(name, action, text):
        sub = verb(name, action, text)
        sub.add_argument("node")
        return sub

    def limit(sub, default):
        sub.add_argument("--timeout", type=int, default=default, metavar="S", help=f"seconds (default {default}, 0: none)")

    run = node_verb("run", do_run, "run a command on a node")
    limit(run, DEFAULT_LIMIT)
    run.add_argument("command", nargs="+", help="after --")
    node_verb("shell", do_shell, "an interactive shell on a node")
    node_verb("console", do_console, "print a guest's serial console, from its first boot on")
    node_verb("reboot", do_reboot, "reboot a guest, also a crashed one; disk and TPM stay")
    for name, action, text in (("push", do_push, "copy files and directories to a directory on a node"),
                               ("pull", do_pull, "copy files and directories of a node to a directory here")):
        sub = node_verb(name, action, text)
        sub.add_argument("source", nargs="+")
        sub.add_argument("directory", help="made if it does not exist")
        limit(sub, DEFAULT_LIMIT)
    capture = node_verb("capture", do_capture, "capture packets until ctrl-C, the time limit or the count")
    capture.add_argument("interface")
    capture.add_argument("-w", "--write", metavar="FILE", required=True)
    capture.add_argument("-c", "--count", type=int)
    capture.add_argument("-f", "--filter", default="", metavar="EXPR", help="as tcpdump takes it, in one word: 'udp port 4500'")
    limit(capture, 3600)


def add_middle_verbs(verb):
    hostile = verb("hostile", do_hostile, "make the middle drop, duplicate, reorder, corrupt or replay packets, or make atomic fragments of them")
    hostile.add_argument("what", choices=(*middle.ACTIONS, "stop"), help="stop prints what was done as JSON")
    hostile.add_argument("--toward", choices=tuple(middle.TOWARD), default="gwb")
    hostile.add_argument("--proto", choices=tuple(middle.MATCHES), default="esp")
    hostile.add_argument("--every", type=int, default=1, metavar="K", help="every K-th packet")
    hostile.add_argument("--limit", type=int, metavar="N", help="at most N packets")
    hostile.add_argument("--offset", type=int, metavar="B", help="corrupt this byte after the IP header (negative: from the end)")
    nat = verb("nat", do_nat, "put gateway A behind source NAT in the middle")
    nat.add_argument("state", choices=("on", "off"))


def do_up(lab, args):
    started = time.monotonic()
    if args.fresh:
        lab.down()
    lab.up(args.topology, args.guests)
    guests = ", ".join(lab.guests)
    print(f"lab: up in {time.monotonic() - started:.0f} s ({guests}; {lab.accelerator.split(',')[0]})")
    return 0


def do_down(lab, _):
    print("lab: down" if lab.down() else f"lab: '{lab.name}' was not up")
    return 0


def do_image(_, args):
    print(image.ensure().disk)
    return 0


def do_status(lab, args):
    status = lab.load().status()
    if args.json:
        print(json.dumps(status, indent=2))
    else:
        print(f"lab '{status['lab']}', {status['accelerator'].split(',')[0]}")
        for node in status["nodes"]:
            where = f"pid {node['pid']}, console {node['console']}" if node["kind"] == "guest" else node["namespace"]
            print(f"  {node['node']:8} {node['kind']:10} {node['state']:8} {where}")
    return 1 if any(node["state"] != "up" for node in status["nodes"]) else 0


def do_run(lab, args):
    return lab.load().endpoint(args.node).interactive(args.command, args.timeout)


def do_shell(lab, args):
    return lab.load().endpoint(args.node).shell()


def do_console(lab, args):
    print(lab.load().guest(args.node).console_text(), end="")
    return 0


def do_reboot(lab, args):
    lab.load().reboot(args.node)
    return 0


def do_push(lab, args):
    lab.load().endpoint(args.node).push(args.source, args.directory, args.timeout)
    return 0


def do_pull(lab, args):
    lab.load().endpoint(args.node).pull(args.source, args.directory, args.timeout)
    return 0


def do_capture(lab, args):
    with open(args.write, "wb") as file:
        process = lab.load().endpoint(args.node).capture(args.interface, args.filter.split(), args.timeout, args.count, out=file, err=None)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
    return 0


def do_hostile(lab, args):
    engine = middle.Hostile(lab.load())
    if args.what == "stop":
        print(json.dumps(engine.stop()))
    else:
        engine.start(args.what, toward=args.toward, proto=args.proto, every=args.every, limit=args.limit, offset=args.offset)
    return 0


def do_nat(lab, args):
    middle.nat(lab.load(), args.state == "on")
    return 0


def interrupt(*_):
    raise KeyboardInterrupt


def main(argv):
    args = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, interrupt)  # as ctrl-C: what was begun is undone
    try:
        return args.action(Lab(args.name), args)
    except LabError as why:
        print(f"lab: {why}", file=sys.stderr)
        return why.exit_code
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
