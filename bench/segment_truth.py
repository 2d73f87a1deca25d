"""Whether the segments that are named hold what is said of them, on real tables as they change.

References of 4, 13 and 26 weeks from several places of each table, and every day or week of the 26
weeks after each, checked without times: so rows count as independent, and nearly all that season
and history bring is a violation of which the segment is asked. Hour and weekday stand beside the
columns, as texts. Every named segment is judged by `bench.segments.is_true_segment`, on all rows of
the reference and not on the sample that the search looks at.

    python -m bench.segment_truth FOLDER > bench/segment_truth.md     # holds the Parquet files;
                                                                      # flights come with a package
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import driftline as dl
from bench.segments import is_true_segment
from driftline.app.demo.flights import EVENT_TIME, FEATURES, load

REFERENCE_DAYS = (28, 91, 182)
FOLLOWING_DAYS = 182
WINDOW_DAYS = (1, 7)
PLACES = 4  # References of each length and table.
# Windows of each length after each reference, drawn at random.
WINDOWS = 26
SEED = 2
ANSWERS = ("true", "growth", "false")


def tables(folder: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Return each table in order of time, with hour and weekday as texts."""
    flights = load(datetime(2014, 1, 1, tzinfo=UTC)).table.select([EVENT_TIME, *FEATURES])
    found = {"flights": flights.to_pandas().rename(columns={EVENT_TIME: "ts"})}
    found |= {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    for name, rows in found.items():
        rows["ts"] = pd.to_datetime(rows["ts"], utc=True)
        rows["part_of_day"] = (rows["ts"].dt.hour // 3 * 3).astype(str) + " h"
        rows["day_name"] = rows["ts"].dt.day_name()
        yield name, rows.sort_values("ts", kind="stable", ignore_index=True)


def trials(
    rows: pd.DataFrame, rng: np.random.Generator
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Draw references, each with windows after it."""
    first, last = rows["ts"].iloc[0].ceil("D"), rows["ts"].iloc[-1].floor("D")
    for days in REFERENCE_DAYS:
        room = (last - first).days - days - max(WINDOW_DAYS)
        if room < 1:
            continue
        for start in np.linspace(0, max(room - FOLLOWING_DAYS, 0), PLACES).astype(int):
            begin = first + pd.Timedelta(days=int(start))
            until = begin + pd.Timedelta(days=days)
            reference = rows[(rows["ts"] >= begin) & (rows["ts"] < until)]
            for length in WINDOW_DAYS:
                able = np.arange(0, min(FOLLOWING_DAYS, room - start) - length + 1, length)
                for place in rng.choice(able, min(WINDOWS, able.size), replace=False):
                    begins = until + pd.Timedelta(days=int(place))
                    ends = begins + pd.Timedelta(days=length)
                    window = rows[(rows["ts"] >= begins) & (rows["ts"] < ends)]
                    if len(window):
                        yield reference.drop(columns="ts"), window.drop(columns="ts")


def limits(count: int, total: int) -> str:
    """Return a share with its 95% interval (Clopper and Pearson 1934), in words."""
    if not total:
        return "none named"
    found = stats.binomtest(count, total).proportion_ci(0.95)
    return f"{count / total:.2%} (95%: {found.low:.2%} to {found.high:.2%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", nargs="*", help="some of the tables, by name")
    given = parser.parse_args()
    say = sys.stdout.write
    say("# Whether named segments hold what is said of them\n\n")
    say(f"`python -m bench.segment_truth FOLDER`, {datetime.now(UTC):%Y-%m-%d}.\n\n")
    say("| table | windows | violations | segments named | true | growth | false |\n")
    say(f"|{'---|' * 7}\n")
    total, false = Counter[str](), list[str]()
    for name, rows in tables(given.folder):
        if given.only is not None and name not in given.only:
            continue
        counts, known, baseline = Counter[str](), None, None
        for reference, window in trials(rows, np.random.default_rng([given.seed, len(rows)])):
            if known is None or not reference.index.equals(known):
                known, baseline = reference.index, dl.Baseline.fit(reference)
            assert baseline is not None
            found = dl.check(window, baseline).violations
            counts["windows"] += 1
            counts["violations"] += len(found)
            answers = set()
            for one in found:
                if one.segment is None or one.predicate is None:
                    continue
                answer = is_true_segment(one, window, reference)
                answers.add(answer)
                counts["named"] += 1
                counts[answer] += 1
                if answer == "false":
                    false.append(f"{name}: {one.feature_name}: {one.cause}")
            counts["windows with a name"] += bool(answers)
            counts["windows with a false one"] += "false" in answers
        total += counts
        shown = (counts[one] for one in ("windows", "violations", "named", *ANSWERS))
        say(f"| {name} | {' | '.join(map(str, shown))} |\n")
        sys.stderr.write(f"{name} done\n")
    shown = (total[one] for one in ("windows", "violations", "named", *ANSWERS))
    say(f"| all | {' | '.join(map(str, shown))} |\n")
    say(
        f"\nFalse: {limits(total['false'], total['named'])} of those named; of windows with a name "
    )
    within = total["windows with a false one"], total["windows with a name"]
    say(f"{limits(*within)} have one.\n")
    say("".join(f"\n- {one}" for one in false) + "\n")


if __name__ == "__main__":
    main()
