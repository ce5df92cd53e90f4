"""What is measured, what is to be reached, and the table of both."""
import dataclasses
import statistics

# Messages of the large mailbox, unless another number is asked for.
BOX = 10_000


@dataclasses.dataclass(frozen=True)
class AtMost:
    """In the unit of the figure."""

    most: float

    def __str__(self):
        return "<= %g" % self.most

    def met(self, ours, _better):
        return ours <= self.most


@dataclasses.dataclass(frozen=True)
class AtMostInBox(AtMost):
    """With a mailbox of BOX messages; with another it shall be as good as the better peer."""


@dataclasses.dataclass(frozen=True)
class Times:
    """So many times as good as a peer: the better one of all, or one by name."""

    least: float
    peer: str = ""

    def __str__(self):
        return ">= %gx%s" % (self.least, " " + self.peer if self.peer else "")

    def met(self, ours, better):
        return better is not None and better >= self.least


@dataclasses.dataclass(frozen=True)
class Figure:
    unit: str
    goal: object = None
    more_is_better: bool = False


def delivery(size, connections, *goals):
    rate, cpu, written, flushes = goals or (None,) * 4
    name = "%d KB, %d connection%s: " % (size // 1024, connections, "s" if connections > 1 else "")
    return {
        name + "delivered a second": Figure("/s", rate, more_is_better=True),
        name + "received a second": Figure("/s", more_is_better=True),
        name + "CPU per 1,000": Figure("s", cpu),
        name + "written per 1,000": Figure("MB", written),
        name + "flushes per message": Figure("", flushes),
    }


FIGURES = {
    "exec to first greeting": Figure("ms", AtMost(30)),
    "memory (PSS), idle": Figure("MiB", AtMost(8)),
    "memory, 20 idle TLS sessions": Figure("MiB", AtMost(10)),
    "memory while 25 MB arrive, peak": Figure("MiB", AtMost(14)),
    "25 MB received and stored": Figure("s"),
    **delivery(4096, 1, Times(5), Times(8), Times(6), AtMost(1.05)),
    **delivery(4096, 10, Times(10), Times(8), Times(6), AtMost(0.2)),
    **delivery(51200, 1),
    **delivery(51200, 10),
    "store, part of the raw mail": Figure("", AtMost(0.75)),
    "store with its journal": Figure(""),
    "SELECT": Figure("ms", AtMostInBox(5)),
    "FETCH flags": Figure("ms", AtMostInBox(8)),
    "FETCH envelopes": Figure("ms", AtMostInBox(50)),
    "FETCH header fields": Figure("ms"),
    "FETCH phone": Figure("ms", AtMostInBox(80)),
    "FETCH bodies": Figure("ms", Times(1)),
    "FETCH bodies by TLS": Figure("ms", Times(1)),
    "CPU of all that": Figure("s"),
    "SEARCH SUBJECT": Figure("ms"),
    "SEARCH TEXT": Figure("ms", AtMostInBox(50)),
    "SEARCH BODY": Figure("ms"),
    "STORE 1,000": Figure("ms"),
    "COPY 1,000": Figure("ms"),
    "MOVE 1,000": Figure("ms"),
    "EXPUNGE 1,000": Figure("ms"),
    "APPEND 1,000, one by one": Figure("ms", Times(2, "sdbox")),
    "QRESYNC after ten changes": Figure("ms", AtMostInBox(5)),
    "mbsync, first sync": Figure("s", Times(1)),
    "mbsync, first sync, not compressed": Figure("s"),
    "mbsync, first sync by TLS": Figure("s", Times(1)),
    "mbsync, first sync by TLS, not compressed": Figure("s"),
    "IDLE: 250 to EXISTS": Figure("ms", AtMost(2)),
    "POP3 RETR and DELE of 1,000": Figure("s", AtMost(0.1)),
    "killed while receiving: lost": Figure("", AtMost(0)),
    "killed while receiving: doubled": Figure("", AtMost(0)),
}


def number(value):
    size = abs(value)
    return "%.0f" % value if size >= 100 else "%.1f" % value if size >= 10 else "%.3g" % value


def cell(values):
    if not values:
        return "-"
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else "%s [%s-%s]" % (middle, number(min(values)), number(max(values)))


def ratio(figure, ours, theirs):
    """How many times as good as theirs; None where that cannot be said."""
    above, below = (ours, theirs) if figure.more_is_better else (theirs, ours)
    return above / below if below else None


def table(rows, ours, box):
    """Lines of the table, and how many goals there are and are met. `rows`: dictionaries of figure, server, value."""
    names = [ours] + sorted({row["server"] for row in rows} - {ours})
    found = {}
    for row in rows:
        found.setdefault(row["figure"], {}).setdefault(row["server"], []).append(row["value"])
    lines = [["figure", "unit", *names, "ratio", "goal", ""]]
    goals = met = 0
    for name, figure in FIGURES.items():
        if ours not in found.get(name, {}):
            continue
        median = {server: statistics.median(values) for server, values in found[name].items()}
        peers = [ratio(figure, median[ours], median[server]) for server in names[1:] if server in median]
        better = min((one for one in peers if one is not None), default=None)
        verdict = ""
        goal = Times(1) if isinstance(figure.goal, AtMostInBox) and box != BOX else figure.goal
        if goal:
            beside = better
            if getattr(goal, "peer", ""):
                beside = ratio(figure, median[ours], median[goal.peer]) if goal.peer in median else None
            goals += 1
            is_met = goal.met(median[ours], beside)
            met += is_met
            verdict = "met" if is_met else "NOT MET"
        lines.append([name, figure.unit, *(cell(found[name].get(server, [])) for server in names),
                      "-" if better is None else number(better) + "x", str(goal or ""), verdict])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [" | ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
    text.insert(1, "-|-".join("-" * width for width in widths))
    return text, goals, met
