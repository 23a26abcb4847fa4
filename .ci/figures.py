#!/usr/bin/env python3
"""Prints figures about the shape of the code, to compare two checkouts of this project.

Counted is the product: `src/` of the root package and of each package below `crates/`, without
files and directories named `tests` and without what is there for tests or fuzzing only
(`#[cfg(test)]`, `#[cfg(any(test, …))]`). Sources are split into code, strings and comments, but
not parsed: names that a macro assembles are not seen.
"""

import argparse
import json
import re
from bisect import bisect
from collections import defaultdict
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?<!\w)(?:br|cr|r)(?P<hashes>\#*)".*?"(?P=hashes)
    |"(?:\\.|[^"\\])*"
    |'(?:\\.[^']*|[^\\'])'""",
    re.S | re.X,
)
DOC = re.compile(r"//!|///(?!/)")
TEST_ONLY = re.compile(
    r"#\[cfg\((?:test|fuzzing|all\((?:test|fuzzing)\b[^]]*"
    r'|any\(test, (?:fuzzing|feature = "+)\))\)\]'  # the name of the feature is a string: blank
)
VISIBILITY = r"(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?"
MODULE = re.compile(r"\bmod\s+(\w+)\s*([;{])")
FUNCTION = re.compile(r"\bfn\s+(\w+)")
TYPE = re.compile(rf"^[ \t]*{VISIBILITY}(struct|enum|union|trait|type)\s+(\w+)", re.M)
SCOPE = re.compile(rf"^[ \t]*{VISIBILITY}(?:impl|trait)\b", re.M)
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:.])[A-Za-z_]\w*(?:::[A-Za-z_]\w*)+")
TEST = re.compile(r"#\[(?:tokio::)?test\b")
PROPERTY_TESTS = re.compile(r"\bproptest!\s*\{")

LONG_FUNCTION = 60
LONG_FILES = (400, 800)
WIDE_LINE = 100


def blank(text, begin, end, fill=" "):
    """Overwrites a range except its line ends, so that every position keeps its line."""
    return text[:begin] + re.sub(r"[^\n]", fill, text[begin:end]) + text[end:]


def closing(code, opening):
    """The position behind the bracket that closes the one at `opening`."""
    depth = 0
    for bracket in re.finditer(r"[][(){}]", code[opening:]):
        depth += 1 if bracket[0] in "[({" else -1
        if depth == 0:
            return opening + bracket.end()
    return len(code)


def item_end(code, begin):
    """Where an item ends that is open at `begin`: behind its `;` or its body."""
    at = begin
    while at < len(code):
        if code[at] == "{":
            return closing(code, at)
        if code[at] == ";":
            return at + 1
        at = closing(code, at) if code[at] in "[(" else at + 1
    return at


class Source:
    """One file: its code without comments, strings and tests, and its comments."""

    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.text = path.read_text(encoding="utf-8")
        self.starts = [0, *(end.end() for end in re.finditer("\n", self.text))]
        self.comments = []
        self.code = self.text
        for token in TOKEN.finditer(self.text):
            if token["comment"]:
                self.comments.append((token.start(), token[0]))
            fill = " " if token["comment"] else '"'
            self.code = blank(self.code, *token.span(), fill)

    def remove_tests(self):
        """Takes the tests out of the code; returns the modules that are files of tests."""
        modules, self.test_lines = [], 0
        while test := TEST_ONLY.search(self.code):
            end = item_end(self.code, test.end())
            module = MODULE.search(self.code, test.end(), end)
            if module and module[2] == ";":
                modules.append(module[1])
            self.test_lines += self.line(end - 1) - self.line(test.start()) + 1
            self.code = blank(self.code, test.start(), end)
            self.comments = [
                (at, text) for at, text in self.comments if not test.start() <= at < end
            ]
        return modules

    def line(self, at):
        return bisect(self.starts, at)

    def place(self, at):
        return f"{self.path}:{self.line(at)}"

    def lines_of_code(self):
        return sum(1 for line in self.code.split("\n") if line.strip())

    def all_lines(self):
        """Blank lines and comments too, but no tests."""
        return len(self.starts) - 1 - self.test_lines

    def doc_comments(self):
        """Position and text; consecutive lines are one."""
        blocks, last = [], None
        for at, comment in self.comments:
            if mark := DOC.match(comment):
                line = self.line(at)
                if last == (line - 1, mark[0]):
                    blocks[-1] = (blocks[-1][0], blocks[-1][1] + " " + comment[3:])
                else:
                    blocks.append((at, comment[3:]))
                last = (line, mark[0])
        return blocks

    def functions(self):
        """Name, position, and the number of lines from `fn` to the closing brace."""
        for function in FUNCTION.finditer(self.code):
            end = item_end(self.code, function.end())
            if self.code[end - 1] == "}":
                lines = self.line(end - 1) - self.line(function.start()) + 1
                yield function[1], function.start(), lines

    def types(self):
        """Name and position of each declared type; an associated type is none."""
        scopes = [
            (scope.start(), item_end(self.code, scope.end())) for scope in SCOPE.finditer(self.code)
        ]
        for declared in TYPE.finditer(self.code):
            at = declared.start(1)
            if declared[1] != "type" or not any(begin < at < end for begin, end in scopes):
                yield declared[2], at


class Crate:
    """A package and the sources of its library and program."""

    def __init__(self, root, directory):
        manifest = (directory / "Cargo.toml").read_text(encoding="utf-8")
        self.name = re.search(r'^name\s*=\s*"([^"]+)"', manifest, re.M)[1]
        library = re.search(r'^\[lib\][^[]*?^name\s*=\s*"([^"]+)"', manifest, re.M)
        self.library = library[1] if library else self.name.replace("-", "_")
        self.sources, tests = [], set()
        for path in sorted((directory / "src").rglob("*.rs")):
            source = Source(root, path)
            module = path.relative_to(directory / "src").with_suffix("").parts
            source.module = module[:-1] if module[-1] in ("lib", "mod") else module
            tests |= {(*source.module, name) for name in source.remove_tests()}
            if "tests" not in module:
                self.sources.append(source)
        self.sources = [
            source
            for source in self.sources
            if not any(source.module[: len(test)] == test for test in tests)
        ]


def use_paths(tree, before=()):
    """The paths of a `use` tree, each with the name by which it is known here."""
    head, brace, rest = tree.partition("{")
    path, _, alias = head.strip().partition(" as ")
    names = [*before, *(name.strip() for name in path.split("::") if name.strip())]
    if not brace:
        if names[-1] in ("self", "*"):
            names.pop()
        yield names, alias.strip() or ("*" if path.endswith("*") else names[-1])
        return
    depth, begin = 0, 0
    for at, char in enumerate(rest):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth < 0 or (char == "," and depth == 0):
            if rest[begin:at].strip():
                yield from use_paths(rest[begin:at], names)
            begin = at + 1


class Names:
    """All modules, what each imports, and the paths written in each.

    A module is a tuple: the library, then the names on the way down. `src/main.rs` counts as a
    module of the library beside it.
    """

    def __init__(self, crates):
        self.libraries = {crate.library for crate in crates}
        self.modules, self.imports, self.uses = set(), defaultdict(dict), []
        for crate in crates:
            for source in crate.sources:
                self.read((crate.library, *source.module), source)

    def read(self, module, source):
        inline = [
            (found.end(), closing(source.code, found.end() - 1), found[1])
            for found in MODULE.finditer(source.code)
            if found[2] == "{"
        ]

        def within(at):
            return module + tuple(name for begin, end, name in inline if begin <= at < end)

        self.modules |= {module, *(within(begin) for begin, _, _ in inline)}
        code = source.code
        for use in USE.finditer(source.code):
            for path, name in use_paths(use[1]):
                self.uses.append((within(use.start()), path, source.place(use.start())))
                self.imports[within(use.start())].setdefault(name, path)
            code = blank(code, *use.span())
        for path in PATH.finditer(code):
            place = source.place(path.start())
            self.uses.append((within(path.start()), path[0].split("::"), place))

    def resolve(self, module, path, seen=frozenset()):
        """The module that declares what `path` names in `module`; none where another crate does."""
        first, rest = path[0], path[1:]
        if first == "crate":
            return self.descend(module[:1], rest, seen)
        if first == "self":
            return self.descend(module, rest, seen)
        known = (*module, first) in self.modules or first in self.imports[module]
        if first == "super" or known and (module, first) not in seen:
            return self.descend(module, path, seen)
        return self.descend((first,), rest, seen) if first in self.libraries else None

    def descend(self, module, path, seen):
        """Follows a path from a module through its children and what it imports."""
        if not path:
            return module
        first, rest = path[0], path[1:]
        if first == "super":
            return self.descend(module[:-1], rest, seen)
        if (*module, first) in self.modules:
            return self.descend((*module, first), rest, seen)
        if first in self.imports[module] and (module, first) not in seen:
            imported = [*self.imports[module][first], *rest]
            return self.resolve(module, imported, seen | {(module, first)}) or module
        return module

    def arrows(self):
        """Which module names something of which other one, and where first."""
        found = {}
        for module, path, place in self.uses:
            target = self.resolve(module, path)
            if target and target != module:
                found.setdefault((module, target), place)
        return found


def cycles(graph):
    """The sets of nodes that reach each other (Tarjan's strongly connected components)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in index:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            begin = stack.index(node)
            found.append(sorted(stack[begin:]))
            del stack[begin:]

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return [nodes for nodes in found if len(nodes) > 1]


def module_cycles(crates):
    """Cycles between the direct children of each module (and between crates), and the modules that
    name something of one above them.

    An import from anything in one child to anything in its sibling is an arrow between the two.
    """
    graphs, places, upwards = defaultdict(lambda: defaultdict(set)), {}, []
    for (module, target), place in Names(crates).arrows().items():
        parent = ()
        for one, other in zip(module, target):
            if one != other:
                break
            parent += (one,)
        if parent == target:
            upwards.append(f"{'::'.join(module)} -> {'::'.join(target)} ({place})")
        elif parent != module:
            one, other = module[len(parent)], target[len(parent)]
            graphs[parent][one].add(other)
            places.setdefault((parent, one, other), place)
    found = []
    for parent, graph in sorted(graphs.items()):
        for nodes in cycles(graph):
            arrows = [(one, other) for one in nodes for other in sorted(graph[one] & set(nodes))]
            shown = ", ".join(f"{a} -> {b} ({places[parent, a, b]})" for a, b in arrows)
            found.append(f"{'::'.join(parent) or 'crates'}: {shown}")
    return found, sorted(upwards)


def count_tests(root):
    """The tests of all packages, and those of them that draw their input."""
    count, drawn = 0, 0
    for package in (root, *root.glob("crates/*")):
        for path in [*package.glob("src/**/*.rs"), *package.glob("tests/**/*.rs")]:
            code = Source(root, path).code
            count += len(TEST.findall(code))
            for block in PROPERTY_TESTS.finditer(code):
                drawn += len(TEST.findall(code, block.end(), closing(code, block.end() - 1)))
    return count, drawn


def percent(part, whole):
    return round(100 * part / whole, 1) if whole else 0.0


def kilobytes(path):
    return round(path.stat().st_size / 1000, 1) if path.exists() else 0.0


def measure(root):
    """The figures by title, and for each that counts findings what was found."""
    packages = [root, *(path.parent for path in sorted(root.glob("crates/*/Cargo.toml")))]
    crates = [Crate(root, package) for package in packages]
    sources = [source for crate in crates for source in crate.sources]
    figures, names = {}, {}

    def add(title, found):
        figures[title], names[title] = len(found), found

    lines = {
        crate.name: sum(source.lines_of_code() for source in crate.sources) for crate in crates
    }
    code = sum(lines.values())
    figures |= {"files": len(sources), "lines of code": code}
    figures |= {f"lines of code in {crate}": count for crate, count in lines.items()}

    functions = [
        (count, name, source.place(at))
        for source in sources
        for name, at, count in source.functions()
    ]
    figures["functions"] = len(functions)
    functions.sort(reverse=True)
    long = [f"{count} {name} ({at})" for count, name, at in functions if count > LONG_FUNCTION]
    add(f"functions > {LONG_FUNCTION} lines", long)
    closures = [
        source.place(found.start())
        for source in sources
        for found in re.finditer(r"\|it\|", source.code)
    ]
    add("|it| closures", closures)

    types = defaultdict(list)
    for source in sources:
        for name, at in source.types():
            types[name].append(source.place(at))
    figures["type names"] = len(types)
    repeated = sorted((-len(places), name) for name, places in types.items() if len(places) > 1)
    repeated = [f"{name}: {', '.join(types[name])}" for _, name in repeated]
    add("type names declared more than once", repeated)

    docs = [(source.place(at), text) for source in sources for at, text in source.doc_comments()]
    figures["doc comments"] = len(docs)
    short = [f"{place}: {text.strip()}" for place, text in docs if len(text.split()) <= 3]
    add("doc comments of three words or fewer", short)
    comments = [text for source in sources for _, text in source.comments]
    doc_lines = sum(1 for text in comments if DOC.match(text))
    figures["inline comments in % of code lines"] = percent(len(comments) - doc_lines, code)
    figures["doc comment lines in % of code lines"] = percent(doc_lines, code)

    sizes = sorted(((source.all_lines(), source.path) for source in sources), reverse=True)
    for limit in LONG_FILES:
        long = [f"{count} {path}" for count, path in sizes if count > limit]
        add(f"files > {limit} lines", long)
    found, upwards = module_cycles(crates)
    add("cycles of modules or crates", found)
    add("modules that name something of a parent", upwards)
    wide = [
        f"{source.path}:{number}"
        for source in sources
        for number, line in enumerate(source.text.split("\n"), 1)
        if len(line) > WIDE_LINE
    ]
    add(f"lines > {WIDE_LINE} columns", wide)
    figures["KB of README.md"] = kilobytes(root / "README.md")
    figures["KB of ARCHITECTURE.md"] = kilobytes(root / "ARCHITECTURE.md")
    figures["tests"], figures["tests that draw their input"] = count_tests(root)
    return figures, names


def main():
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    here = Path(__file__).resolve().parent.parent
    arguments.add_argument("checkout", nargs="?", type=Path, default=here)
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--names", action="store_true", help="list what was counted")
    options = arguments.parse_args()
    figures, names = measure(options.checkout.resolve())
    if not options.names:
        names = {}
    if options.json:
        print(json.dumps({"figures": figures, "names": names}, indent=2))
        return
    for title, value in figures.items():
        print(f"{title:<48} {value:>8}")
        for name in names.get(title, ()):
            print(f"    {name}")


if __name__ == "__main__":
    main()
