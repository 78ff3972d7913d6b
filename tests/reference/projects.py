"""Projects made of attributes: one folder each, with the arguments and variables of its `config`.

`every()` has each value of each attribute alone; `some(seed)` mixes them with what files can do to one another:
overriding, extending, including, profiles, templates. The same seed makes the same projects.
"""
import random

import attributes

VARIABLES = {"V": "v v", "N": "5", "F": "0.25", "T": "true", "SIZE": "32m", "D": "20s", "FROM_ENV": "e"}
FILES = {
    "e.env": "E=1\nV=from-e\nREF=$E\n", "f.env": "E=2\nexport F2='q $x'\n# comment\nG: \"a\\nb\"\n", "l.env": "L=1\nM=\"2\"\n",
    "other.yaml": "services:\n  base:\n    image: base\n    environment: {BASE: 1, A: base}\n    ports: ['1:1']\n    volumes: ['./here:/here']\n",
}
FLAGS = ["--no-interpolate", "--no-normalize", "--no-path-resolution", "--no-consistency", "--no-env-resolution"]


class Project:
    """Files by name, and how `config` is called."""

    def __init__(self, name, files, flags=(), before=()):
        self.name, self.files, self.flags, self.before = name, {**FILES, **files}, list(flags), list(before)
        # Further variables, and what is asked for instead of the project.
        self.variables, self.asks = {}, None


def _top(changed=None):
    settled = {"networks": {"n": "{}", "m": "{}"}, "volumes": {"vol": "{}", "v": "{}"}, "secrets": {"s": "{file: ./s}", "t": "{environment: V}"},
               "configs": {"s": "{content: x}", "t": "{file: ./t}"}, "models": {"m": "{model: mm}"}}
    for section, name, value in changed or []:
        settled.setdefault(section, {})[name] = value
    return "".join("%s: {%s}\n" % (section, ", ".join("%s: %s" % pair for pair in values.items())) for section, values in settled.items())


def _service(name, pairs):
    return "  %s:\n" % name + ("".join("    %s: %s\n" % pair for pair in pairs) if pairs else "    {}\n")


def _file(services, changed=None, top=True):
    return "name: p\nservices:\n" + "".join(_service(name, pairs) for name, pairs in services) + (_top(changed) if top else "")


def _others():
    return [("b", [("image", "bb")]), ("c", [("image", "cc"), ("profiles", "[extra]")])]


def _with_image(pairs):
    names = {name for name, _ in pairs}
    return pairs if names & {"image", "build", "provider"} else [("image", "aa"), *pairs]


def every():
    """Each value of each attribute alone."""
    for attribute, values in attributes.SERVICE.items():
        for index, value in enumerate(values):
            pairs = _with_image([(attribute, value)])
            yield Project("%s-%d" % (attribute, index), {"compose.yaml": _file([("a", pairs), *_others()])})
    for section, (name, _, values) in attributes.TOP.items():
        user = {"networks": ("networks", "[n]"), "volumes": ("volumes", "['vol:/v']"), "secrets": ("secrets", "[s]"), "configs": ("configs", "[s]"), "models": ("models", "[m]")}[section]
        for index, value in enumerate(values):
            text = _file([("a", [("image", "aa"), user]), *_others()], [(section, name, value)])
            yield Project("%s-%d" % (section, index), {"compose.yaml": text})


WAYS = ("override", "!override", "!reset", "document", "extends", "file", "include")


def pairs():
    """Values of each attribute merged onto one another: every way in turn."""
    turn = 0
    for attribute, values in attributes.SERVICE.items():
        if attribute in ("extends", "unknown", "comand"):
            continue
        chosen = values[: max(3, len(values) // 3)][:5]
        for first, base in enumerate(chosen):
            for second, over in enumerate(chosen):
                way = WAYS[turn % len(WAYS)]
                turn += 1
                name = "%s-%d+%d-%s" % (attribute, first, second, way.strip("!"))
                yield Project(name, _merged(attribute, base, over, way))


def _merged(attribute, base, over, way):
    below, above = _with_image([(attribute, base)]), [(attribute, (way + " " if way.startswith("!") else "") + over)]
    if way in ("override", "!override", "!reset"):
        return {"compose.yaml": _file([("a", below), *_others()]), "compose.override.yaml": "services:\n" + _service("a", above)}
    if way == "document":
        return {"compose.yaml": _file([("a", below), *_others()]) + "---\nservices:\n" + _service("a", above)}
    if way == "extends":
        return {"compose.yaml": _file([("base", below), ("a", [("extends", "base"), *above]), *_others()])}
    text = "services:\n" + _service("base", below)
    if way == "file":
        own = [("extends", "{service: base, file: sub/base.yaml}"), *above]
        return {"compose.yaml": _file([("a", own), *_others()]), "sub/base.yaml": text, **_below("sub")}
    inner = {"sub/compose.yaml": _file([("a", below), *_others()]), **_below("sub")}
    over = "name: p\ninclude: [{path: [sub/compose.yaml, over.yaml]}]\n"
    return {"compose.yaml": over, "over.yaml": "services:\n" + _service("a", above), **inner}


def _right(choice, attribute, values):
    """A value that is likely to be right: wrong ones stand nearer to the end of most lists, but everything happens."""
    return values[choice.randrange(max(1, len(values) // 2))] if choice.random() < 0.7 else choice.choice(values)


def _pairs(choice, count):
    names = choice.sample(sorted(attributes.SERVICE), count)
    return [(name, _right(choice, name, attributes.SERVICE[name])) for name in names if name not in ("unknown", "comand")]


def _again(choice, pairs):
    """The same attributes with other values, some of them marked."""
    found = []
    for name, _ in pairs:
        value = _right(choice, name, attributes.SERVICE[name])
        found.append((name, choice.choice(["", "", "", "", "!override ", "!reset "]) + value))
    return found


def _changes(choice):
    changed = []
    if choice.random() < 0.3:
        section = choice.choice(sorted(attributes.TOP))
        name, _, values = attributes.TOP[section]
        changed.append((section, name, _right(choice, section, values)))
    return changed


def _alone(choice):
    return {"compose.yaml": _file([("a", _with_image(_pairs(choice, choice.randint(1, 4)))), *_others()], _changes(choice))}


def _overridden(choice):
    pairs = _pairs(choice, choice.randint(1, 2))
    over = "services:\n" + _service("a", _again(choice, pairs))
    if choice.random() < 0.2:
        section = choice.choice(sorted(attributes.TOP))
        name, _, values = attributes.TOP[section]
        over += "%s: {%s: %s}\n" % (section, name, choice.choice(values))
    return {"compose.yaml": _file([("a", _with_image(pairs)), *_others()], _changes(choice)), "compose.override.yaml": over}


def _documents(choice):
    files = _overridden(choice)
    return {"compose.yaml": files["compose.yaml"] + "---\n" + files["compose.override.yaml"]}


def _extended(choice):
    pairs = _pairs(choice, choice.randint(1, 2))
    own = [("extends", choice.choice(["base", "{service: base}"])), *_again(choice, pairs)]
    return {"compose.yaml": _file([("base", _with_image(pairs)), ("a", own), *_others()])}


def _extended_from_file(choice):
    pairs = _pairs(choice, choice.randint(1, 2))
    own = [("extends", "{service: base, file: sub/base.yaml}")]
    if choice.random() < 0.5:
        own += _again(choice, pairs)
    base = "services:\n" + _service("base", _with_image(pairs))
    return {"compose.yaml": _file([("a", own), *_others()]), "sub/base.yaml": base, **_below("sub")}


def _included(choice):
    pairs = _pairs(choice, choice.randint(1, 3))
    include = choice.choice(["[sub/compose.yaml]", "[{path: sub/compose.yaml}]", "[{path: [sub/compose.yaml, other.yaml]}]", "[{path: sub/compose.yaml, project_directory: .}]",
                             "[{path: sub/compose.yaml, env_file: e.env}]", "[{path: sub/compose.yaml, env_file: [e.env, f.env]}]", "[sub/compose.yaml, other.yaml]", "[{path: sub/compose.yaml, env_file: /dev/null}]"])
    inner = _file([("i", _with_image(pairs)), ("a", [("image", "ia")]), ("b", [("image", "ib")])], _changes(choice))
    own = [("d", [("image", "dd"), ("depends_on", choice.choice(["[i]", "[b]"]))])]
    if choice.random() < 0.4:
        own.append(("i", _again(choice, pairs)))
    text = "include: %s\n" % include + _file(own, top=choice.random() < 0.5)
    return {"compose.yaml": text, "sub/compose.yaml": inner, "sub/.env": "V=sub\nSUB=1\nNONE=subnone\n", **_below("sub")}


def _anchored(choice):
    pairs = _pairs(choice, choice.randint(1, 3))
    own = _again(choice, pairs[:1]) if choice.random() < 0.5 else []
    shared = "x-shared: &shared\n" + "".join("  %s: %s\n" % pair for pair in _with_image(pairs))
    own = [("<<", choice.choice(["*shared", "[*shared]", "[*shared, {init: true}]"])), *own]
    return {"compose.yaml": "name: p\n" + shared + _file([("a", own), *_others()]).removeprefix("name: p\n")}


def _below(folder):
    return {"%s/%s" % (folder, name): text for name, text in FILES.items()}


def _templated(choice):
    files = _alone(choice)
    template = choice.choice(["${V:-x}", "${NONE:-$V}", "${NONE-${V:+y}}", "${V:?no}", "${NONE:?must be}", "${NONE?}", "${V+a${N}}", "${NONE:-}", "$V$N", "${V}}", "${", "${V", "$", "${V:-}x", "$$V", "${V!x}", "${v}", "$1", "${1}", "${NONE:-a:b}", "${NONE:-{a}}", "${V:-}}",
                             "${NONE:-'q'}", "${V:+$$}", "${NONE:-$$}", "$(x)", "${NONE:-a?b}", "${NONE?a:-b}", "${ V }", "${V-}", "${É}", "${V:}", "$_", "${NONE:-\\}}", "a${NONE:-${NONE:-${NONE:-z}}}b"])
    key = choice.choice(["labels: {t: '%s'}", "environment: ['T=%s']", "command: '%s'", "image: '%s'", "x-t: '%s'", "hostname: '%s'", "ports: ['%s:80']", "healthcheck: {test: '%s'}"])
    files["compose.yaml"] = files["compose.yaml"].replace("  b:\n", "  b:\n    " + key % template.replace("'", "''") + "\n", 1)
    if "image:" in key:
        files["compose.yaml"] = files["compose.yaml"].replace("    image: bb\n", "")
    return files


SHAPES = [_alone, _overridden, _overridden, _overridden, _documents, _extended, _extended_from_file, _included, _included, _anchored, _templated]


def some(seed):
    """Mixed projects without end."""
    index = 0
    while True:
        choice = random.Random("%s-%d" % (seed, index))
        shape = choice.choice(SHAPES)
        flags, before = [], []
        if choice.random() < 0.15:
            flags.append(choice.choice(FLAGS))
        if choice.random() < 0.15:
            before += choice.choice([["--profile", "extra"], ["--profile", "p"], ["--profile", "*"], ["--all-resources"], ["--compatibility"]])
        if choice.random() < 0.1:
            flags.append(choice.choice(["a", "b", "c"]))
        yield Project("%s-%s-%d" % (shape.__name__.strip("_"), seed, index), shape(choice), flags, before)
        index += 1
