# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The messages of the sources, and those of docs/messages.md.

    messages.py check TREE             each has its row, each row its message
    messages.py seen TREE FOLDER        each test whose messages are in FOLDER (by
                                       contrib/messages) provokes those of its rows
    messages.py provoked TREE TEST LOG
                                       what TEST said, which is in LOG, has every
                                       message whose row names TEST
    messages.py list TREE              all formats, for whoever writes rows

A message is the format that a function of SINKS is given, or one of WRAPPERS,
which put words around it. It is found where it is written as a string; one that
is somewhere else has to be made known here. Details (log_debug) are not for the
page.

In a row anything may stand for a conversion: `cannot open 'SOURCE'` is the row
of "cannot open '%s'". Its last cell is the test that provokes the message, which
contrib/messages proves; or it says "none:" and why there can be no
test.
"""

import collections
import os
import re
import sys

PAGE = "docs/messages.md"

# Which argument is the format, and what the program adds to it.
SINKS = {
    "g_set_error": (3, "{}"),
    "g_set_error_literal": (3, "{}"),
    "g_error_new": (2, "{}"),
    "error_set_errno": (3, "{}: %s"),
    "option_usage": (1, "{}"),
    "log_error": (0, "{}"),
    "log_warning": (0, "{}"),
    "log_notice": (0, "{}"),
    "log_info": (0, "{}"),
    "log_message": (1, "{}"),
    "g_error": (0, "{}"),
}

# The same by the file that has the function; None: known in several.
WRAPPERS = {
    ("src/dev/ddrescue.c", "refuse"): (1, "'%s', line %s: {}"),
    ("src/dev/parttable_text.c", "refuse"): (2, "'%s' {}: %s"),
    ("src/hostfs/gate.c", "refuse"): (3, "'%s' {}"),
    ("src/hostfs/inline.c", "fail"): (2, "'%s': {}"),
    ("src/hostfs/jfind.c", "refuse"): (2, "{}"),
    ("src/hostfs/lookup.c", "fail"): (2, "'%s': {}"),
    ("src/hostfs/lookup.c", "fail_code"): (2, "'%s': {}: %s"),
    ("src/hostfs/recover.c", "refuse"): (3, "'%s' {}"),
    ("src/hostfs/recover.c", "failed"): (3, "'%s': {}: %s"),
    ("src/jbd/jlog.c", "refuse"): (3, "the journal of '%s' {}"),
    ("src/jbd/journal.c", "fail"): (3, "the journal of '%s' {}"),
    ("src/jbd/journal.c", "corrupt"): (2, "the journal of '%s' {}; run "
                                          "'e2fsck -f' on it"),
    ("src/jbd/journal.c", "unsupported"): (2, "the journal of '%s' {}"),
    (None, "source_failed"): (2, "'%s' {}%s"),
    (None, "replay_damaged"): (3, "the journal of '%s' is damaged in its "
                                  "block %u: {}; run 'e2fsck -f' on it"),
}

# Formats that come from elsewhere: a sentence that was made before, libfuse's.
PASSED_ON = {
    ("src/base/error.c", "error_set_errno"),
    ("src/cli/cmd_attach.c", "undo"),
    ("src/cli/command.c", "command_fail"),
    ("src/cli/watch.c", "judge"),
    ("src/fuse/connection.c", "log_for_fuse"),
    ("src/fuse/options.c", "option_usage"),
}

NOT_READ = {"src/base/log.c"}

LEVELS = {"log_error": "error", "log_warning": "warning",
          "log_notice": "notice", "log_info": "info", "g_error": "abort",
          "option_usage": "2"}

TOKEN = re.compile(r'''
    (?P<string>"(?:[^"\\\n]|\\.)*") | (?P<char>'(?:[^'\\\n]|\\.)*') |
    (?P<word>[A-Za-z_]\w*) | (?P<space>\s+) | (?P<other>.)''',
    re.X | re.S)
COMMENT = re.compile(r'/\*.*?\*/|("(?:[^"\\\n]|\\.)*")', re.S)
CONVERSION = re.compile(r"%[-+ #0]*[0-9*]*(?:\.[0-9*]+)?"
                        r"(?:hh|h|ll|l|z|j|t)?[a-zA-Z]")
INTEGERS = re.compile(r"PRI[diuxX]\w+|G_GU?INT64_FORMAT")

Message = collections.namedtuple("Message", "place text end")
Row = collections.namedtuple("Row", "line text end test")
findings = 0


def complain(*words):
    global findings
    findings += 1
    print(*words)


# ---- C, as far as it takes ----

def blank_comments(text):
    def blank(m):
        return m.group(1) or "\n" * m.group(0).count("\n") + " "
    return COMMENT.sub(blank, text)


def tokens(text):
    """(kind, text, position) without spaces."""
    return [(m.lastgroup, m.group(), m.start()) for m in TOKEN.finditer(text)
            if m.lastgroup != "space"]


def unquote(literal):
    text = literal[1:-1]
    for escape, char in (("\\n", "\n"), ("\\t", "\t"), ('\\"', '"'),
                         ("\\'", "'"), ("\\\\", "\\")):
        text = text.replace(escape, char)
    return text


def string_macros(text):
    joined = text.replace("\\\n", " ")
    macros = {}
    for m in re.finditer(r'^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(".*)$',
                         joined, re.M):
        macros[m.group(1)] = texts(tokens(m.group(2)), {})[0]
    return macros


def texts(toks, macros):
    """The alternatives of an expression: strings beside each other are one."""
    found, current = [], None
    for kind, word, _ in toks:
        if kind == "string":
            piece = unquote(word)
        elif kind == "word" and INTEGERS.fullmatch(word):
            piece = "u"
        elif kind == "word" and word in macros:
            piece = macros[word]
        else:
            piece = None
        if piece is not None and (kind == "string" or current is not None):
            current = (current or "") + piece
        elif piece is None and current is not None:
            found.append(current)
            current = None
            # A call: its first string is the format, the rest what goes in.
            if word == ",":
                return found
    if current is not None:
        found.append(current)
    return found


def arguments(toks, at):
    """The call whose "(" is toks[at]: its arguments, each a list of tokens."""
    args, depth = [[]], 0
    for tok in toks[at:]:
        if tok[1] in ("(", "{", "["):
            depth += 1
            if depth == 1:
                continue
        elif tok[1] in (")", "}", "]"):
            depth -= 1
            if not depth:
                return args
        if depth == 1 and tok[1] == ",":
            args.append([])
        else:
            args[-1].append(tok)
    return args


def functions(text):
    """(name, start, end): kernel style has both braces in the first column."""
    for m in re.finditer(r"^\{$.*?^\}", text, re.M | re.S):
        head = text[:m.start()]
        head = head[max(head.rfind("\n}\n"), head.rfind(";\n"),
                        head.rfind("\n\n")) + 1:]
        name = re.search(r"(\w+)\s*\(", head)
        if name:
            yield name.group(1), m.start(), m.end()


def assigned(name, body, macros):
    """The strings that the variable is ever given in this function."""
    found = []
    for m in re.finditer(r"\b%s\s*=(?!=)([^;]*);" % re.escape(name), body):
        found += texts(tokens(m.group(1)), macros)
    return found


# ---- the sources ----

def is_generic(text):
    return not re.search("[a-z]", CONVERSION.sub("", text))


def end_of(name, args):
    """How it ends: the exit status, or the level; None: it depends."""
    if name in LEVELS:
        return LEVELS[name]
    if name == "log_message":
        return None
    words = [word for arg in args for _, word, _ in arg]
    if "RAWMAP_ERROR_USAGE" in words:
        return "2"
    if any(word.startswith("RAWMAP_ERROR_") for word in words):
        return "1"
    return None


def messages_of_call(path, function, body, name, how, args, line, macros):
    index, around = how
    place = "%s:%d" % (path, line)
    if len(args) <= index:
        return
    formats = texts(args[index], macros)
    passed = args[index][0][1] if len(args[index]) == 1 else None
    if not formats and passed:
        formats = assigned(passed, body, macros)
    elif len(formats) == 1 and is_generic(formats[0]) and args[-1]:
        inner = assigned(args[-1][-1][1], body, macros)
        if inner:
            head, _, tail = formats[0].rpartition("%s")
            formats = [head + text + tail for text in inner]
    if not formats or any(is_generic(text) for text in formats):
        if (path, function) in PASSED_ON:
            return
        complain("%s: the words of this message cannot be seen; write them as "
                 "a string in the call, or tell tests/lint/messages.py how "
                 "they get here" % place)
        return
    for text in formats:
        yield Message(place, around.format(text), end_of(name, args))


def messages_of_file(path, text):
    text = blank_comments(text)
    macros = string_macros(text)
    for function, start, end in functions(text):
        body = text[start:end]
        own = {(path, function), (None, function)}
        if own & WRAPPERS.keys():
            continue
        toks = tokens(body)
        for i, (kind, name, at) in enumerate(toks[:-1]):
            if kind != "word" or toks[i + 1][1] != "(":
                continue
            how = (WRAPPERS.get((path, name)) or WRAPPERS.get((None, name)) or
                   SINKS.get(name))
            if how:
                line = text.count("\n", 0, start + at) + 1
                yield from messages_of_call(path, function, body, name, how,
                                            arguments(toks, i + 1), line,
                                            macros)


def messages(tree):
    for folder, _, names in sorted(os.walk(os.path.join(tree, "src"))):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), tree)
            if path.endswith((".c", ".h")) and path not in NOT_READ:
                with open(os.path.join(tree, path)) as f:
                    yield from messages_of_file(path, f.read())


# ---- the page ----

def rows(tree):
    with open(os.path.join(tree, PAGE)) as f:
        for number, line in enumerate(f, 1):
            if not line.startswith("| `"):
                continue
            cells = [cell.strip() for cell in
                     re.split(r"(?<= )\|(?= )", line.strip()[1:-1])]
            text = cells[0].strip("`")
            if len(cells) != 4:
                complain("%s:%d: %d cells instead of 4: message, when and what "
                         "to do, end, test" % (PAGE, number, len(cells)))
                continue
            yield Row(number, text, cells[2], cells[3].strip("`"))


def pattern(text):
    parts = [r"\s+".join(re.escape(word) for word in
                         re.split(r"\s+", piece.replace("%%", "%")))
             for piece in CONVERSION.split(text)]
    return re.compile(".*?".join(parts), re.S)


def suggestion(message):
    text = " ".join(CONVERSION.sub("X", message.text).split())
    return "| `%s` | when; what to do | %s | `tests/...` |" % (
        text, message.end or "1")


def check_row(tree, row, found):
    place = "%s:%d" % (PAGE, row.line)
    if not found:
        complain("%s: the sources have no such message: %s" % (place, row.text))
        return
    ends = {message.end for message in found}
    if None not in ends and row.end not in ends:
        complain("%s: it ends with %s, not with %s" %
                 (place, " or ".join(sorted(ends)), row.end))
    if row.test.startswith("none:"):
        return
    if not os.path.isfile(os.path.join(tree, row.test)):
        complain("%s: there is no test %s" % (place, row.test))


def messages_of(page, everything):
    """
    Those that each row is about: of the formats that fit, the one with the most
    words, wherever it is used.
    """
    fitting = {row: [] for row in page}
    for text in {message.text for message in everything}:
        expression, words = pattern(text), len(CONVERSION.sub("", text))
        for row in page:
            if expression.fullmatch(row.text):
                fitting[row].append((words, text))
    best = {row: {text for words, text in fits if words == max(fits)[0]}
            for row, fits in fitting.items()}
    return {row: [m for m in everything if m.text in best[row]] for row in page}


def check(tree):
    page = list(rows(tree))
    everything = list(messages(tree))
    found = messages_of(page, everything)
    known = {m for about in found.values() for m in about}
    for message in everything:
        if message not in known:
            complain("%s: %s has no row for this message; add\n%s" %
                     (message.place, PAGE, suggestion(message)))
    for row in page:
        check_row(tree, row, found[row])


def ctest_name(test):
    """As tests/CMakeLists.txt makes it of the path."""
    name = re.sub(r"^tests/|\.(c|sh)$", "", test)
    return re.sub(r"/test_([^/]*)$", r"/\1", name).replace("/", "_")


def said_by(texts, lines):
    expressions = [pattern(text) for text in texts]
    return any(e.fullmatch(line) for e in expressions for line in lines)


def formats_of(tree, page):
    about = messages_of(page, list(messages(tree)))
    return {row: [m.text for m in about[row]] for row in page}


def seen(tree, folder):
    page = list(rows(tree))
    formats = formats_of(tree, page)
    heard = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), errors="replace") as f:
            heard[name] = [line.rstrip("\n") for line in f]
    for row in page:
        name = ctest_name(row.test)
        if name not in heard or said_by(formats[row], heard[name]):
            continue
        others = [n for n in sorted(heard)
                  if said_by(formats[row], heard[n])]
        complain("%s:%d: %s does not provoke: %s%s" %
                 (PAGE, row.line, row.test, row.text,
                  "; others do: " + ", ".join(others) if others else ""))


def provoked(tree, test, log):
    with open(log, errors="replace") as f:
        said = f.read()
    page = [row for row in rows(tree) if row.test == test]
    formats = formats_of(tree, page)
    for row in page:
        if not any(re.search("rawmap: " + pattern(text).pattern, said)
                   for text in formats[row]):
            complain("%s:%d: %s did not provoke: %s" %
                     (PAGE, row.line, test, row.text))


def main():
    what, tree = sys.argv[1:3]
    if what == "check":
        check(tree)
    elif what == "seen":
        seen(tree, sys.argv[3])
    elif what == "provoked":
        provoked(tree, *sys.argv[3:5])
    else:
        for message in messages(tree):
            print("%s\t%s\t%s" % (message.place, message.end,
                                  " ".join(message.text.split())))
    if findings:
        print("%d finding(s)" % findings)
        sys.exit(1)


main()
