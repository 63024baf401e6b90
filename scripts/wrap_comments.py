#!/usr/bin/env python3
"""Wraps comment lines of more than 100 columns in the files that are named, in place.

clang-format would also reflow them, but it joins the aligned paragraphs that head our headers
("Model      ..."). Here a line that is too long gives its last words to the next line of its
paragraph and keeps that paragraph's indent; everything else stays as it was. A long comment behind
code moves onto a line of its own above.
"""
import re
import sys
from pathlib import Path

COLUMNS_MAX = 100

# " * " or "/* ", then the text's own indent.
COMMENT = re.compile(r"^(?P<margin>\s*)(?P<mark>/\*|\*)(?P<indent> +)(?P<text>\S.*)$")
# A word or two, then at least two spaces: the text stands in a column of its own.
LABEL = re.compile(r"^(?P<label>\S+(?: \S+){0,2} {2,})\S")
TRAILING = re.compile(r"^(?P<indent>\s*)(?P<code>[^\s/*].*?)\s*(?P<comment>/\*.*\*/)$")
RULER = re.compile(r"-{8,}(?= \*/$)")


def continuation(match):
    """The margin and indent of a line that continues this one."""
    margin = match["margin"] + (" " if match["mark"] == "/*" else "")
    label = LABEL.match(match["text"])
    indent = match["indent"] + " " * (len(label["label"]) if label else 0)
    return margin + "*" + indent


def split_line(line):
    """The part that fits, and the words that do not."""
    text_begin = COMMENT.match(line).start("text")
    # "*/" stays with the word before it.
    cut = line.rfind(" ", text_begin, COLUMNS_MAX + 1)
    if line[cut:].strip() == "*/":
        cut = line.rfind(" ", text_begin, cut)
    if cut <= text_begin:
        return line, ""
    return line[:cut].rstrip(), line[cut:].strip()


def belongs(line, prefix):
    """Whether this line goes on with the paragraph whose later lines begin with prefix."""
    match = COMMENT.match(line)
    return (match is not None and match["mark"] == "*" and line.startswith(prefix)
            and not line[len(prefix):].startswith(" ") and not LABEL.match(match["text"])
            and not match["text"].startswith("- "))


def wrap(lines):
    result = []
    pending = list(lines)
    while pending:
        line = pending.pop(0)
        if len(line) <= COLUMNS_MAX:
            result.append(line)
            continue
        ruler = RULER.search(line)
        if ruler and len(line) - (ruler.end() - ruler.start()) + 8 <= COLUMNS_MAX:
            shorter = len(line) - COLUMNS_MAX
            result.append(line[:ruler.end() - shorter] + line[ruler.end():])
            continue
        trailing = TRAILING.match(line)
        if trailing and not line.rstrip().endswith("\\"):
            pending[:0] = [trailing["indent"] + trailing["comment"],
                           trailing["indent"] + trailing["code"]]
            continue
        match = COMMENT.match(line)
        if match is None or line.lstrip().startswith("/*@"):
            result.append(line)
            continue
        kept, rest = split_line(line)
        result.append(kept)
        if not rest:
            continue
        prefix = continuation(match)
        if "*/" not in rest and pending and belongs(pending[0], prefix):
            pending[0] = prefix + rest + " " + pending[0][len(prefix):]
        else:
            pending.insert(0, prefix + rest)
    return result


def main():
    for name in sys.argv[1:]:
        path = Path(name)
        old = path.read_text(encoding="utf-8")
        new = "\n".join(wrap(old.split("\n")))
        if new != old:
            path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
