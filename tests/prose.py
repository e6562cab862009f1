"""Find turns of phrase at which a native reader stumbles: `python -m tests.prose`, in the project's folder.

Files are read as plain text, so each pattern matches only turns that are wrong anywhere: in comments, docstrings,
messages, lessons and the manual. Turns that are sometimes right, such as "of what it", have no pattern.
"""

import re
import subprocess
import sys
from pathlib import Path

GAP = r'(?:\\n",|")?\s+[#/*;"\s]*'  # a space, or the end of a line in prose, comments, strings and notebooks
# Patterns, in which a space stands for a gap, and what to write instead.
TURNS = {
    r"\b(?:of|(?:is|are) no)(?: (?:an?|the|no|our))? \w+'s(?:(?=[.,;:)])| (?:is|was|has|have|that)\b)": "a noun",
    r"\b[Ww]h(?:o|ich)(?:so)?ever\b": "somebody who; the first Pi that",
    r"\b(?<!there\s)(?:is|are)(?: \w+ly)? none\b(?! (?:and|else|if|of|or)\b|\)* %)": "is not one; is missing",
    r"\b(?:after|before|beside|by|from|with) what (?:had|has|is|its?|one|their|they|was)\b": "a noun: with the answer",
    r"\b(?:by|for|than|with) who (?:are|does|has|have|is|wants|was)\b": "those who; a noun: users",
    r"^(?!\s*(?:#|//)).*(?:\n\s*)?(?:\"\"\"|/\*|//|(?<!#)#)\s?((?:And|Nor|Or|So(?! \w+ that))\b)": "a whole sentence",
}
# Files and words that are right there: the next noun is the same as the last.
EXCEPTIONS = {
    ("docs/teach/task-answers.md", "of the office's"),
    ("notebooks/part3_whose_digits.ipynb", "of the office's"),
    ("notebooks/part3_whose_digits.ipynb", "of the school's"),
}


def turns(path: str) -> list[tuple[int, str, str]]:
    """Return the line and the words of each turn in a file, and what to write instead."""
    text = Path(path).read_text()
    found = [
        (
            text.count("\n", 0, match.start(match.lastindex or 0)) + 1,
            re.sub(GAP, " ", match[match.lastindex or 0]),
            better,
        )
        for pattern, better in TURNS.items()
        for match in re.finditer(pattern.replace(" ", GAP), text, re.MULTILINE)
    ]
    return sorted(turn for turn in found if (path, turn[1]) not in EXCEPTIONS)


if __name__ == "__main__":
    tracked = subprocess.check_output(["git", "grep", "-Il", "", "--", ":!tests", ":!locale"], text=True).splitlines()
    lines = [f"{path}:{line}: “{words}”; better: {better}" for path in tracked for line, words, better in turns(path)]
    sys.exit("\n".join(lines) or 0)
