"""Whether what an analysis says survives other seeds.

    neurocompare analysis NAME -o first > first.txt
    neurocompare analysis NAME -o second --first-seed 1000 > second.txt
    python benchmarks/other_seeds.py first.txt second.txt

Both say the same things in the same order. Numbers are left out, and lines that then differ are shown: a claim that came out
one way with some seeds and another way with others.
"""

from __future__ import annotations

import argparse
import re
from difflib import SequenceMatcher
from pathlib import Path

NUMBER = re.compile(r"[-+±]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?\s*%?|\bnan\b")
ABOUT_THE_RUN = re.compile(r"^(wrote|took|real|user|sys)\b|computed in|^\d+ s$")


def statements(text: str) -> list[str]:
    """The lines that say something of the result."""
    return [line.strip() for line in text.splitlines() if line.strip() and not ABOUT_THE_RUN.search(line.strip())]


def without_numbers(line: str) -> str:
    """What remains where numbers differ by chance."""
    return " ".join(NUMBER.sub("#", line).split())


def compared(first: str, second: str) -> tuple[int, int, list[str]]:
    """How many statements of the first text there are, how many of them the second has, and the lines that differ."""
    lines = statements(first), statements(second)
    bare = [[without_numbers(line) for line in each] for each in lines]
    matcher, same, differing = SequenceMatcher(None, *bare, autojunk=False), 0, list[str]()
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            same += i2 - i1
        else:
            differing += [f"- {line}" for line in lines[0][i1:i2]] + [f"+ {line}" for line in lines[1][j1:j2]]
    return len(lines[0]), same, differing


def main() -> None:
    """Print how many are the same, then those that are not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    paths = parser.parse_args()
    n, same, differing = compared(*(path.read_text(encoding="utf-8") for path in (paths.first, paths.second)))
    print(f"{same} of {n} statements are the same with other seeds, but for their numbers")
    print("\n".join(differing))


if __name__ == "__main__":
    main()
