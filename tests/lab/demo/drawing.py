# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's pictures, as SVG inside the page."""

from html import escape

WIDTH = 960
LANE = 22  # height of the pings' lane
LABEL = 15
LABEL_WIDTH = 6.2  # of a letter, about


def element(name, content="", **attributes):
    words = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    return f"<{name}{words}>{content}</{name}>"


def svg(height, parts, title):
    return element("svg", element("title", escape(title)) + "".join(parts), viewBox=f"0 0 {WIDTH} {height}", role="img", class_="picture")


def text(x, y, words, **attributes):
    return element("text", escape(words), x=f"{x:.1f}", y=f"{y:.1f}", **attributes)


def box(x, y, width, height, lines, class_):
    parts = [element("rect", x=x, y=y, width=width, height=height, rx=6, class_=class_)]
    parts += [text(x + width / 2, y + 20 + 16 * number, line, text_anchor="middle", class_="name" if number == 0 else "small")
              for number, line in enumerate(lines)]
    return "".join(parts)


def wire(x, to, y, words, class_="wire"):
    return element("line", x1=x, y1=y, x2=to, y2=y, class_=class_) + text((x + to) / 2, y - 6, words, text_anchor="middle", class_="small")


def set_up():
    """hosta, gwa, mid, gwb, hostb, as tests/lab/lablib/topology.py has them."""
    gateway = ["keymsd, nfq-signer", "strongSwan, Linux XFRM", "TPM 2.0"]
    parts = [
        box(5, 50, 110, 62, ["LAN A", "10.1.0.2"], "host"), box(190, 30, 190, 102, ["gateway A", *gateway, "192.0.2.1"], "gateway"),
        box(430, 50, 100, 62, ["the network", "hostile at will"], "middle"),
        box(580, 30, 190, 102, ["gateway B", *gateway, "198.51.100.1"], "gateway"), box(845, 50, 110, 62, ["LAN B", "10.2.0.2"], "host"),
        wire(115, 190, 81, "in clear"), wire(380, 430, 81, ""), wire(530, 580, 81, ""), wire(770, 845, 81, "in clear"),
        element("path", d="M 285 132 V 160 H 675 V 132", class_="attest"),
        text(480, 155, "attestation: TLS 1.3, quotes of both TPMs", text_anchor="middle", class_="small"),
        element("path", d="M 285 30 V 14 H 675 V 30", class_="tunnel"),
        text(480, 10, "IPsec (ESP, AES-256-GCM); each packet signed", text_anchor="middle", class_="small")]
    return svg(172, parts, "two gateways with a hostile network between them")


def runs(pings):
    """Neighbours of the same fate as one: (from, to, answered, how many)."""
    found = []
    for ping, following in zip(pings, [*pings[1:], None]):
        end = following.sent if following else ping.sent + 0.1
        if found and found[-1][2] == ping.answered:
            begin, _, answered, count = found[-1]
            found[-1] = (begin, end, answered, count + 1)
        else:
            found.append((ping.sent, end, ping.answered, 1))
    return found


def step_of(seconds):
    return next((step for step in (1, 2, 5, 10, 20, 30) if seconds / step <= 16), 60)


class Strip:
    """Pings over a span of time, answered or lost, with events and a scale."""

    def __init__(self, begin, end, pings):
        self.begin, self.end = begin, max(end, begin + 1)
        self.pings = [ping for ping in pings if self.begin <= ping.sent < self.end]
        self.parts = []

    def x(self, time):
        return (time - self.begin) / (self.end - self.begin) * WIDTH

    def lane(self, y):
        self.parts.append(element("rect", x=0, y=y, width=WIDTH, height=LANE, class_="lane"))
        for begin, end, answered, count in runs(self.pings):
            title = f"{count} pings {'answered' if answered else 'lost'} in {end - begin:.1f} s"
            self.parts.append(element("rect", element("title", title), x=f"{self.x(begin):.1f}", y=y, height=LANE,
                                      width=f"{max(1.2, self.x(min(end, self.end)) - self.x(begin)):.1f}", class_="answered" if answered else "lost"))

    def scale(self, y, origin):
        step = step_of(self.end - self.begin)
        second = -int((origin - self.begin) // step) * step
        while origin + second <= self.end:
            x = self.x(origin + second)
            self.parts.append(element("line", x1=f"{x:.1f}", y1=y - 4, x2=f"{x:.1f}", y2=y, class_="tick"))
            self.parts.append(text(min(max(x, 12), WIDTH - 16), y + 12, f"{second} s", text_anchor="middle", class_="small"))
            second += step

    def labels(self, events):
        """Each above the lane, as low as it fits; gives how high they are together."""
        rows = []  # the x at which each is free
        placed = []
        for time, words, *_ in sorted(events):
            x = self.x(time)
            width = len(words) * LABEL_WIDTH + 8
            left = min(x + 3, WIDTH - width)
            row = next((number for number, free in enumerate(rows) if free <= left), len(rows))
            rows[row:row + 1] = [left + width]
            placed.append((x, left, row, words))
        height = LABEL * len(rows) + 6
        for x, left, row, words in placed:
            y = height - 6 - LABEL * row
            self.parts.append(element("line", x1=f"{x:.1f}", y1=y - 10, x2=f"{x:.1f}", y2=height + LANE, class_="event"))
            self.parts.append(text(left, y, words, class_="small"))
        return height


def scene(verdict, pings, events):
    strip = Strip(verdict.begun - 0.5, verdict.ended + 0.5, pings)
    own = [event for event in events if event[2] == verdict.name]
    top = strip.labels(own)
    strip.parts, marks = [], strip.parts
    strip.lane(top)
    strip.parts += marks  # over the lane
    strip.scale(top + LANE + 5, min((event[0] for event in own), default=verdict.begun))
    return svg(top + LANE + 22, strip.parts, f"pings during: {verdict.title}")


def overview(verdicts, pings, begin):
    strip = Strip(begin, verdicts[-1].ended + 0.5, pings)
    for number, verdict in enumerate(verdicts, start=1):
        x, width = strip.x(verdict.begun), strip.x(verdict.ended) - strip.x(verdict.begun)
        strip.parts.append(element("rect", x=f"{x:.1f}", y=0, width=f"{width:.1f}", height=LANE + 24, class_="odd" if number % 2 else "even"))
        strip.parts.append(text(x + width / 2, 13, str(number), text_anchor="middle", class_="name"))
    strip.lane(20)
    strip.scale(20 + LANE + 8, begin)
    return svg(20 + LANE + 26, strip.parts, "pings from LAN to LAN, all the time")
