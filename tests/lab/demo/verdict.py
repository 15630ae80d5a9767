# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of one scene: what was tried, what happened, what of it is as it should be."""

import shutil
import textwrap
from dataclasses import dataclass, field

NARROWEST, WIDEST = 80, 120


@dataclass
class Verdict:
    name: str
    title: str
    tried: str
    begun: float = 0.0  # seconds since 1970
    ended: float = 0.0
    happened: str = ""
    cut: str = ""  # how long until nothing of it passed
    healed: str = ""  # by what, in what time
    figures: dict = field(default_factory=dict)
    checks: list = field(default_factory=list)  # (sentence, whether it holds)
    excerpts: list = field(default_factory=list)  # (heading, text)
    error: str = ""

    def check(self, sentence, holds):
        self.checks.append((sentence, bool(holds)))

    @property
    def passed(self):
        return not self.error and bool(self.checks) and all(holds for _, holds in self.checks)

    def failures(self):
        return [sentence for sentence, holds in self.checks if not holds] + ([self.error] if self.error else [])

    def as_json(self):
        return {"name": self.name, "title": self.title, "passed": self.passed, "tried": self.tried, "happened": self.happened, "cut": self.cut,
                "healed": self.healed, "seconds": round(self.ended - self.begun, 1), "figures": self.figures,
                "checks": [{"sentence": sentence, "holds": holds} for sentence, holds in self.checks], "error": self.error}


def table(verdicts):
    """For a terminal: one screen."""
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    lines = []
    for verdict in verdicts:
        lines.append(f"{'PASS' if verdict.passed else 'FAIL'}  {verdict.title}")
        told = [f"{verdict.happened}." if verdict.happened else "", f"Cut: {verdict.cut}." if verdict.cut else "", f"Healed: {verdict.healed}." if verdict.healed else ""]
        lines += textwrap.wrap(" ".join(filter(None, told)), width, initial_indent="      ", subsequent_indent="      ")
        for failure in verdict.failures():
            lines += textwrap.wrap(f"NOT SO: {failure}", width, initial_indent="      ", subsequent_indent="      ")[:6]
    return "\n".join(lines)
