#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""`countersign xfrm watch` on a real kernel: tampering is told within a second."""

import json
import threading
import time
from contextlib import contextmanager

import labtest
from labtest import LAN, WAN
from test_xfrm import PROGRAM, push_program

FLOOD = 200
# As fast as an emulated guest can; how long it took, in ms.
MAKE_SAS = """
begun=$(date +%s%N)
for spi in $(seq 4096 $((4095 + {count}))); do
  echo "xfrm state add src 192.0.2.1 dst 198.51.100.1 proto esp spi $spi mode tunnel enc ecb(cipher_null) ''"
done | ip -batch -
echo $((($(date +%s%N) - begun) / 1000000))
"""


class Watching:
    """A running watch: the lines it has told, each with the moment it came."""

    def __init__(self, node, process):
        self.node, self.process, self.told = node, process, []
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.told.append(json.loads(line))
                self.news.notify_all()

    def wait_for(self, event, limit, count=1):
        """The last of `count` lines of that event, which are all to be there within the limit."""
        def found():
            return [line for line in self.told if line["event"] == event]
        with self.news:
            if not self.news.wait_for(lambda: len(found()) >= count, limit):
                raise AssertionError(f"{self.node.name}: no {count} of {event} within {limit} s: {self.told[-5:]}")
            return found()[count - 1]

    def events(self, event):
        return [line for line in self.told if line["event"] == event]

    def end(self):
        self.node.run(["pkill", "-TERM", "-x", "countersign"])
        return self.wait_for("ended", 10)


@contextmanager
def watching(node, *arguments):
    process = node.popen([PROGRAM, "xfrm", "watch", "--json", *arguments], limit=120, stdout=-1, text=True)
    watch = Watching(node, process)
    try:
        watch.wait_for("began", 15)
        yield watch
    finally:
        node.run(["pkill", "-KILL", "-x", "countersign"], check=False)
        process.wait(timeout=10)
        watch.reader.join(10)
        process.stdout.close()


class Tampering(labtest.LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        push_program(cls.gwa)

    def setUp(self):
        self.addCleanup(self.clear_ipsec)

    def ip(self, *lines):
        labtest.ip(self.gwa, list(lines))

    def switch(self, value):
        self.gwa.run(["sysctl", "-qw", f"net.ipv4.conf.all.disable_policy={value}"])

    def test_each_is_told_within_a_second(self):
        mark = "mark 0x10000 mask 0x10000"
        labtest.esp_tunnel(self.lab, 4, inbound=mark)
        outer = f"src {WAN[4]['a']} dst {WAN[4]['b']}"
        returning = f"src {WAN[4]['b']} dst {WAN[4]['a']}"
        inner = f"src {LAN[4]['b']} dst {LAN[4]['a']}"
        sa = f"{outer} proto esp spi 0x1004"
        aead = f"mode tunnel aead rfc4106(gcm(aes)) {labtest.key(20)} 128"
        with watching(self.gwa, "--audit", "2") as watch:
            self.assertEqual((watch.told[0]["policies"], watch.told[0]["sas"]), (3, 2))
            self.ip("xfrm policy add src 10.1.0.2/32 dst 10.2.0.2/32 dir out")
            bypass = watch.wait_for("policy_new", 1)
            self.assertEqual((bypass["policy"]["action"], bypass["policy"]["templates"]), ("allow", []))
            self.ip(f"xfrm policy update {inner} dir in tmpl {returning} proto esp reqid 1 mode tunnel level use")
            self.assertTrue(watch.wait_for("policy_update", 1)["policy"]["templates"][0]["optional"])
            # The event has the algorithm that was asked for; the kernel keeps the SA's own.
            self.ip(f"xfrm state update {returning} proto esp spi 0x2004 {aead} {mark} limit time-hard 1000")
            updated = watch.wait_for("sa_update", 1)["sa"]
            self.assertEqual((updated["aead"]["key_bits"], updated["lifetime"]["hard_seconds"]), (288, 1000))
            self.ip(f"xfrm state delete {sa}", f"xfrm state add {sa} {aead}")
            replaced = watch.wait_for("sa_new", 1)["sa"]
            self.assertEqual((replaced["spi"], replaced["aead"]["key_bits"], replaced["replay"]["window"]), ("0x00001004", 160, 0))
            self.assertEqual(watch.wait_for("sa_delete", 1)["sa"]["spi"], "0x00001004")
            self.addCleanup(self.switch, 0)
            self.switch(1)
            self.assertTrue(watch.wait_for("interface", 3)["interface"]["disable_policy"])
            ended = watch.end()
        # Whatever else an audit compared was as the events had told.
        self.assertEqual((ended["events"], ended["lost"], ended["repairs"]), (5, 0, 1), watch.told)

    def test_a_flood_is_followed(self):
        with watching(self.gwa, "--audit", "1") as watch:
            took = int(self.gwa.run(["sh", "-c", MAKE_SAS.format(count=FLOOD)]).out)
            watch.wait_for("sa_new", 5, count=FLOOD)
            time.sleep(1.5)  # an audit
            ended = watch.end()
        self.assertEqual(len({line["sa"]["spi"] for line in watch.events("sa_new")}), FLOOD)
        self.assertGreaterEqual(ended["audits"], 1)
        self.assertTrue(ended["lost"] or ended["repairs"] == 0, ended)
        print(f"{FLOOD} SAs made in {took} ms, lost {ended['lost']} times, {ended['repairs']} repaired")


if __name__ == "__main__":
    labtest.main()
