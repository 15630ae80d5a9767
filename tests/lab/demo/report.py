# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: one page, with nothing from elsewhere, for who was not there."""

import hashlib
import os
import time
from html import escape

from . import drawing

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 980px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.7em; margin-bottom: 0; } h2 { margin-top: 2em; border-bottom: 1px solid #cdd5df; } h3 { margin: 1.8em 0 .2em; }
p { margin: .5em 0; } .lead { color: #5a6675; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .4em .6em; border-bottom: 1px solid #dfe5ec; }
th { background: #f1f4f8; } td.figure { text-align: right; white-space: nowrap; }
.pass, .fail { font-weight: 600; padding: .1em .5em; border-radius: 4px; white-space: nowrap; }
.pass { background: #dcf3e3; color: #14632f; } .fail { background: #fbdedc; color: #97180f; }
pre { background: #f6f8fa; border: 1px solid #dfe5ec; padding: .7em; font: 12px/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; color: #2b5a94; } ul.checks { list-style: none; padding-left: 0; margin: .4em 0; }
.picture { width: 100%; height: auto; display: block; margin: .6em 0; } svg text { font: 12px system-ui, sans-serif; fill: #1c2430; }
svg .small { font-size: 11px; fill: #46525f; } svg .name { font-weight: 600; }
svg .gateway { fill: #e4eefb; stroke: #2b5a94; } svg .host { fill: #f1f4f8; stroke: #8793a1; } svg .middle { fill: #fdeceb; stroke: #b3382e; }
svg .wire { stroke: #1c2430; } svg .tunnel { fill: none; stroke: #2b5a94; stroke-width: 2; } svg .attest { fill: none; stroke: #17803d; stroke-width: 2; stroke-dasharray: 5 3; }
svg .lane { fill: #f1f4f8; } svg .answered { fill: #3fae66; } svg .lost { fill: #d8453a; } svg .event { stroke: #1c2430; stroke-width: .8; }
svg .tick { stroke: #8793a1; } svg .odd { fill: #eef2f7; } svg .even { fill: #fff; }
@media print { details { display: block; } body { margin: 0; } }
"""
LIMITS = (
    "The TPMs are software (swtpm) behind the guests' TPM device: what they show of a machine is what a chip would show, how well they keep it is not.",
    "The guests are emulated where the machine has no virtualisation: all times include what that costs, and none of them is a measure of speed.",
    "The lifetimes are short, so that a key's end can be waited for. The policy below has them all.",
    "Each gateway must prove that its attestation key is in a TPM of a maker whom the other trusts; here that maker is the lab's own CA. Boot registers and IMA are not judged.",
)


def badge(passed):
    return f'<span class="{"pass" if passed else "fail"}">{"PASS" if passed else "FAIL"}</span>'


def folded(heading, text):
    return f"<details><summary>{escape(heading)}</summary><pre>{escape(text.strip() or '(nothing)')}</pre></details>"


def row(cells, tag="td"):
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def verdict_table(verdicts):
    rows = [row(("", "", "what was tried", "what happened", "how long until nothing of it passed", "how it healed"), "th")]
    for number, verdict in enumerate(verdicts, start=1):
        rows.append(row((f"{number}", badge(verdict.passed), f'<a href="#{verdict.name}">{escape(verdict.title)}</a>: {escape(verdict.tried)}',
                         escape(verdict.happened or verdict.error), escape(verdict.cut) or "—", escape(verdict.healed) or "—")))
    return f"<table>{''.join(rows)}</table>"


def scene(number, verdict, pings, events):
    checks = "".join(f"<li>{'✓' if holds else '✗ NOT SO:'} {escape(sentence)}</li>" for sentence, holds in verdict.checks)
    error = f"<pre>{escape(verdict.error)}</pre>" if verdict.error else ""
    told = [("What was tried", verdict.tried), ("What happened", verdict.happened), ("Cut", verdict.cut), ("Healed", verdict.healed)]
    lines = "".join(f"<p><b>{name}:</b> {escape(words)}.</p>" for name, words in told if words)
    return (f'<h3 id="{verdict.name}">{number}. {escape(verdict.title)} {badge(verdict.passed)}</h3>{lines}{drawing.scene(verdict, pings, events)}'
            f'<ul class="checks">{checks}</ul>{error}{"".join(folded(*excerpt) for excerpt in verdict.excerpts)}')


def files(out):
    rows = [row(("file", "bytes", "SHA-256"), "th")]
    for path in sorted(out.glob("*.pcap")) + [out / "ping.txt", out / "verdicts.json"]:
        rows.append(row((escape(path.name), f"{path.stat().st_size}", hashlib.sha256(path.read_bytes()).hexdigest())))
    return f"<table>{''.join(rows)}</table>"


def summary(verdicts, told):
    good = sum(verdict.passed for verdict in verdicts)
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(verdicts[0].begun))
    return (f'<h1>Countersign: two gateways attest each other</h1><p class="lead">{when} · tree {escape(told["commit"])} · {told["seconds"]:.0f} s · '
            f'{good} of {len(verdicts)} verdicts as they should be {badge(good == len(verdicts))}</p>'
            "<p>Each of two IPsec gateways proves to the other, with its TPM, that it is the machine and runs the policy that both operators agreed on. While that holds, "
            "each signs every ESP packet with a key that exists only because it holds, and passes none that the other has not signed. Below, six things go wrong.</p>")


def page(shown, verdicts, told):
    pings, _ = shown.pings.read()
    steps = "".join(row((escape(text), f"{seconds:.1f} s")) for text, seconds in shown.progress.steps)
    programs = "".join(row((name, digest)) for name, digest in told["programs"].items())
    parts = [
        summary(verdicts, told), "<h2>The set-up</h2>", drawing.set_up(),
        f"<p>The gateways run {escape(shown.facts['kernel'])} in QEMU ({escape(shown.lab.accelerator.split(',')[0])}), the LANs are namespaces of this machine, "
        f"which has {os.cpu_count()} processors. LAN A pings LAN B ten times a second, all the time.</p>",
        "<h2>Verdicts</h2>", verdict_table(verdicts), "<h2>The time line</h2>",
        "<p>Pings that were answered (green) and lost (red), from before anything was agreed on. The numbers are those of the verdicts.</p>",
        drawing.overview(verdicts, pings, shown.watched_since), f"<p>The first ping was answered {told['attested_in']:.1f} s after the policy was applied.</p>",
        "<h2>One by one</h2>", *(scene(number, verdict, pings, shown.events) for number, verdict in enumerate(verdicts, start=1)),
        "<h2>What was agreed on, and what was run</h2>", folded("the policy that both gateways have signed", shown.facts["policy"]),
        f"<table>{row(('program', 'SHA-256, its first 16 digits'), 'th')}{programs}</table>", f"<table>{row(('step', 'took'), 'th')}{steps}</table>",
        "<h2>What this does not show</h2>", "<ul>", *(f"<li>{escape(line)}</li>" for line in LIMITS), "</ul>",
        "<h2>To look for yourself</h2>", files(shown.out),
        "<p>wana.pcap is the wire at gateway A's side, wanb.pcap at gateway B's: open them in Wireshark, filter <code>esp</code>. The signature is the end of each ESP packet; "
        "docs/WIRE.md has its fields. Flipped bits and replays are in wanb.pcap only.</p>",
        f"<p>Again, on Debian 12, as root: <code>scripts/demo</code>, in the tree {escape(told['commit'])}. With <code>--keep</code> the lab stays: "
        f"<code>scripts/lab --name {escape(shown.lab.name)} run gwa -- countersign status</code>.</p>"]
    return f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Countersign: demonstration</title><style>{STYLE}</style></head><body>{"".join(parts)}</body></html>\n'
