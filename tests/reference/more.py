"""More kinds of projects: odd scalars, environment files, profiles, nested includes, chains of files, the variables that
steer `config` itself, and each of its questions. `mixed(seed)` gives them without end, the same for the same seed.
"""
import random

from projects import FILES, Project

ODD = ["1:30", "190:20:30", "017", "0o17", "0x1F", "0b11", "1_000", "1e3", "1E-2", ".5", "5.", "+1", "-1", "-0", "~", "null", "Null", "", "yes", "No", "on", "Off", "true", "TRUE", "2001-12-14",
       "'1'", "1.0", "1.10", ".inf", "-.Inf", ".nan", "1GB", "1gb", "'1 gb'", "1.5g", "10", "1h30m", "1d", "90s", "1m30", "!!str 1", "!!int '3'", "!!float 1", "!!str null", "!!null ''", "!!bool 'true'",
       "|-\n      text\n      more", ">-\n      text\n      more", "|+\n      text\n\n", "[]", "{}", "[null]", "[~, a]", "{a: null}", "'0'", "00", "08", "1e", "0x", "'${N}'", "${N}", "${T}", "'${NONE:-}'", "${D}",
       "12345678901234567890", "9223372036854775807", "1.7976931348623157e400", "\"a\\tb\\u00e9\"", "'it''s'", "a #b", "a: b", "@x", "`x`", "%x", "\"\"", "!foo x", "=", "<<", "12:30:45"]
PLACES = [
    "image: %s", "container_name: %s", "hostname: %s", "command: %s", "entrypoint: %s", "mem_limit: %s", "memswap_limit: %s", "cpus: %s", "cpu_shares: %s", "pids_limit: %s", "shm_size: %s", "scale: %s", "init: %s",
    "stop_grace_period: %s", "stop_signal: %s", "user: %s", "working_dir: %s", "restart: %s", "tty: %s", "privileged: %s", "mac_address: %s", "oom_score_adj: %s", "platform: %s", "pull_policy: %s", "runtime: %s",
    "environment: {K: %s}", "environment: [%s]", "labels: {K: %s}", "labels: [%s]", "annotations: {K: %s}", "expose: [%s]", "ports: [%s]", "ports: [{target: %s}]", "ports: [{target: 80, published: %s}]", "dns: %s",
    "dns: [%s]", "dns_search: %s", "tmpfs: %s", "volumes: [%s]", "cap_add: [%s]", "extra_hosts: {h: %s}", "extra_hosts: [%s]", "sysctls: {net.x: %s}", "ulimits: {nofile: %s}", "ulimits: {nofile: {soft: %s, hard: 5}}",
    "healthcheck: {test: %s}", "healthcheck: {interval: %s}", "healthcheck: {test: x, retries: %s}", "healthcheck: {disable: %s}", "deploy: {replicas: %s}", "deploy: {resources: {limits: {cpus: %s}}}",
    "deploy: {resources: {limits: {memory: %s}}}", "deploy: {restart_policy: {delay: %s}}", "deploy: {labels: {K: %s}}", "logging: {options: {max-size: %s}}", "logging: {driver: %s}", "depends_on: %s", "depends_on: [%s]",
    "profiles: %s", "profiles: [%s]", "networks: %s", "networks: {n: %s}", "networks: {n: {ipv4_address: %s}}", "networks: {n: {priority: %s}}", "secrets: [%s]", "configs: [{source: s, mode: %s}]", "build: %s",
    "build: {context: ., args: {K: %s}}", "build: {context: ., args: [%s]}", "build: {context: ., target: %s}", "build: {context: ., shm_size: %s}", "build: {context: ., tags: [%s]}", "build: {context: ., no_cache: %s}",
    "env_file: %s", "env_file: [%s]", "env_file: {path: e.env, required: %s}", "blkio_config: {weight: %s}", "storage_opt: {size: %s}", "group_add: [%s]", "devices: [%s]", "security_opt: [%s]", "links: [%s]",
    "attach: %s", "network_mode: %s", "pid: %s", "ipc: %s", "cgroup: %s", "read_only: %s", "device_cgroup_rules: [%s]", "x-a: %s", "volumes: [{type: tmpfs, target: /t, tmpfs: {size: %s}}]", "volumes: [{type: bind, source: %s, target: /t}]",
    "volumes: [{type: volume, source: vol, target: /t, read_only: %s}]", "develop: {watch: [{path: %s, action: sync, target: /t}]}", "post_start: [{command: %s}]", "gpus: %s", "cpuset: %s", "cpu_period: %s", "domainname: %s",
]
TOPS = ["volumes: {vol: {name: %s}}", "volumes: {vol: %s}", "volumes: {vol: {external: %s}}", "volumes: {vol: {labels: {K: %s}}}", "volumes: {vol: {driver_opts: {o: %s}}}", "networks: {n: %s}", "networks: {n: {internal: %s}}",
        "networks: {n: {driver_opts: {o: %s}}}", "networks: {n: {enable_ipv6: %s}}", "networks: {n: {ipam: {config: [{subnet: %s}]}}}", "networks: {n: {name: %s}}", "secrets: {s: {file: %s}}", "secrets: {s: {environment: %s}}",
        "configs: {s: {content: %s}}", "configs: {s: {name: %s, file: ./s}}", "x-top: %s", "name: %s", "version: %s", "services: %s", "include: %s", "networks: %s"]
LINES = ["A=1", "A = 1", "export A=1", "A='s q'", 'A="d \\n q"', "A=\"$B\"", "A='$B'", "A=$B", "A=${B:-x}", "A=${B:?no}", "A=${B+y}", "A=", "A", "export A", "A: 1", "A:1", "A=1 # c", "A='1' # c", "A=1#c", "#c", "", "  A=1  ", "A=\"multi\nline\"",
         "A='multi\nline'", "A=\\$B", "A=\"\\$B\"", "A=a\\nb", "=x", "A B=1", "A.B=1", "A-B=1", "1A=1", "A==x", "A=\"x", "A='x", "A=\"x\"y", "export  A =  1", "A=é", "\ufeffA=1", "A=$$B", "A=$(x)", "A=`x`", "A=\"a\"\"b\"", "A=x\r", "A=\t1\t",
         "A=${B", "A=$", "A=${}", "A[0]=1", "FROM_ENV", "FROM_ENV=2", "B=$FROM_ENV", "V=${V}-more", "N=${N:-7}$NONE"]


def _odd(choice):
    return choice.choice(ODD)


def _top(changed=""):
    settled = {"networks": "networks: {n: {}}", "volumes": "volumes: {vol: {}}", "secrets": "secrets: {s: {file: ./s}}", "configs": "configs: {s: {content: x}}"}
    key = changed.split(":")[0]
    return "".join(text + "\n" for name, text in settled.items() if name != key) + (changed + "\n" if changed else "")


def _scalars(choice):
    """Odd scalars where text, numbers, durations, bytes and lists are expected."""
    lines, name = ["    image: x"], "name: p\n"
    for place in choice.sample(PLACES, choice.choice([1, 1, 1, 2])):
        value = _odd(choice)
        if value.startswith(("|", ">")) and ("{" in place or "[" in place):
            value = "'text'"
        if place.startswith("image"):
            lines = []
        lines.append("    " + place % value)
    changed = ""
    if choice.random() < 0.3:
        value = _odd(choice)
        changed = choice.choice(TOPS) % (value if not value.startswith(("|", ">")) else "t")
        if changed.startswith("name"):
            name = ""
    text = name + "services:\n  a:\n" + "\n".join(lines) + "\n  b: {image: b}\n"
    if changed.startswith("services"):
        text, changed = name + changed + "\n", ""
    return {"files": {"compose.yaml": text + _top(changed)}}


def _environments(choice):
    """Environment files of every form, of services, of the project and of both."""
    # A key alone at the very end is a value without a key to the reference.
    lines = lambda: "\n".join(choice.choice(LINES) for _ in range(choice.randint(1, 4))) + "\n"
    entry = choice.choice(["x.env", "[x.env]", "[x.env, y.env]", "[{path: x.env}]", "[{path: x.env, required: false}, {path: none.env, required: false}]", "[{path: x.env, format: raw}]", "[{path: none.env}]", "[./x.env, {path: y.env, format: raw}]", "$F_NAME"])
    text = "name: p\nservices:\n  a:\n    image: x\n    env_file: %s\n    environment: %s\n    labels: {l: '${A}', m: '${B:-b}'}\n" % (entry, choice.choice(["{A: own}", "[A]", "[A, FROM_ENV]", "{B: null}", "{}", "[V, A=$B]"]))
    if choice.random() < 0.3:
        text += "    label_file: %s\n" % choice.choice(["l.env", "[l.env, x.env]", "y.env"])
    before = choice.choice([[], [], ["--env-file", "x.env"], ["--env-file", "x.env", "--env-file", "y.env"], ["--env-file", "none.env"]])
    files = {"compose.yaml": text, "x.env": lines(), "y.env": lines()}
    if choice.random() < 0.6:
        files[".env"] = lines() + "F_NAME=x.env\n"
    return {"files": files, "before": before}


def _profiled(choice):
    """Profiles, dependencies and chosen services."""
    names = ["a", "b", "c", "d", "e"]
    text = "name: p\nservices:\n"
    for name in names:
        others = choice.sample([other for other in names if other != name], choice.randint(0, 2))
        others = [other for other in others if other > name]
        form = choice.choice(["[%s]" % ", ".join(others), "{%s}" % ", ".join("%s: {condition: service_started, required: %s}" % (other, choice.choice(["true", "false"])) for other in others)])
        text += "  %s:\n    image: %s\n    depends_on: %s\n" % (name, name, form)
        if choice.random() < 0.6:
            text += "    profiles: [%s]\n" % ", ".join(choice.sample(["p", "q", "r"], choice.randint(1, 2)))
        if choice.random() < 0.2:
            text += choice.choice(["    links: [%s]\n", "    network_mode: service:%s\n", "    volumes_from: [%s]\n", "    ipc: service:%s\n"]) % choice.choice(names)
        elif choice.random() < 0.3:
            text += "    networks: [%s]\n    volumes: ['%s:/v']\n" % (choice.choice(["n", "default"]), choice.choice(["vol", "./x"]))
    before = [word for profile in choice.sample(["p", "q", "r", "*", "none"], choice.choice([0, 0, 1, 1, 2])) for word in ("--profile", profile)]
    variables = {"COMPOSE_PROFILES": choice.choice(["p", "p,q", " p , r", "*", ""])} if choice.random() < 0.3 else {}
    return {"files": {"compose.yaml": text + _top()}, "before": before, "flags": choice.sample(names, choice.choice([0, 0, 0, 1, 2])), "variables": variables}


def _nested(choice):
    """Includes of includes, each with its own folder and environment."""
    def include(path):
        folder, extra = path.rsplit("/", 1)[0], ""
        if choice.random() < 0.4:
            extra += ", project_directory: %s" % choice.choice([".", folder, "..", "./other", "$V_DIR"])
        if choice.random() < 0.4:
            extra += ", env_file: %s" % choice.choice(["x.env", "[x.env, %s/x.env]" % folder, "%s/x.env" % folder, "none.env"])
        return choice.choice(["[%s]" % path, "[{path: %s%s}]" % (path, extra), "[{path: [%s, over.yaml]%s}]" % (path, extra), "[{path: %s%s}]" % (path, extra)])
    service = lambda name: "  %s:\n    image: '%s-${W:-unset}'\n    build: %s\n    env_file: [{path: x.env, required: false}]\n    volumes: ['./d:/d', '%s:/e']\n" % (name, name, choice.choice([".", "./b", "{context: ., dockerfile: D}", "{context: c, additional_contexts: {k: ./k}}"]), choice.choice(["vol", "../up", "~/h"]))
    files = {
        "compose.yaml": "name: p\ninclude: %s\nservices:\n%s" % (include("one/compose.yaml"), service("a") + choice.choice(["", "    depends_on: [b]\n", "    extends: {service: b, file: one/compose.yaml}\n"])),
        "one/compose.yaml": "include: %s\nservices:\n%svolumes: {vol: {}}\nsecrets: {s: {file: ./s}}\n" % (include("two/compose.yaml"), service("b")),
        "one/two/compose.yaml": "services:\n%svolumes: {vol: {}}\nconfigs: {f: {file: ./f}}\n" % service("c"), "two/compose.yaml": "services:\n" + service("c2") + "volumes: {vol: {}}\n",
        "over.yaml": "services:\n  b:\n    labels: {over: '${W}'}\n", "one/over.yaml": "services:\n  c:\n    labels: {over: '${W}'}\n", "one/two/over.yaml": "services: {}\n",
        "x.env": "W=top\n", "one/x.env": "W=one\n", "one/two/x.env": "W=two\n", "one/.env": "W=one-dot\n", "one/two/.env": "W=two-dot\n", "two/x.env": "W=2\n",
    }
    if choice.random() < 0.4:
        files[".env"] = "W=dot\n"
    return {"files": files, "variables": {"V_DIR": "one"}}


LISTS = {
    "ports": ["['80:80']", "[{target: 80, published: '81'}]", "['127.0.0.1:80:80/udp', 443]", "['8000-8002:80-82']"], "volumes": ["['vol:/v']", "['./x:/v:ro']", "[{type: tmpfs, target: /v}]", "[/v, /w]"],
    "environment": ["[A=1, B]", "{A: 2, C: null}", "[A]"], "command": ["[a, b]", "c d", "[]", "null"], "dns": ["1.1.1.1", "[2.2.2.2, 1.1.1.1]"], "expose": ["[80]", "['80/udp', '81-82']"], "labels": ["{l: 1}", "[l=2, m]"],
    "networks": ["[n]", "{n: {aliases: [x]}}", "{n: {aliases: [y], priority: 3}, default: null}"], "depends_on": ["[b]", "{b: {condition: service_healthy}}", "{b: {condition: service_started, restart: true}}"],
    "secrets": ["[s]", "[{source: s, target: t}]"], "configs": ["[s]", "[{source: s, target: /t}]"], "extra_hosts": ["['h:1.1.1.1']", "{h: 2.2.2.2, i: [3.3.3.3, 4.4.4.4]}"], "env_file": ["e.env", "[f.env, e.env]", "[{path: e.env, required: false}]"],
    "healthcheck": ["{test: [CMD, a], retries: 3}", "{test: b, interval: 5s}", "{disable: true}"], "ulimits": ["{nofile: 5}", "{nofile: {soft: 1, hard: 2}, core: 0}"], "logging": ["{driver: json-file, options: {a: b}}", "{driver: none}", "{options: {c: d}}"],
    "build": [".", "{context: ., args: [A=1]}", "{context: ./b, args: {A: 2, B: 3}, tags: [x], target: t}"], "deploy": ["{replicas: 2}", "{resources: {limits: {cpus: '1'}}, labels: {a: b}}", "{placement: {constraints: [a]}}"], "tmpfs": ["/a", "[/a, /b:size=1m]"],
    "cap_add": ["[A]", "[A, B]"], "sysctls": ["{a.b: 1}", "[a.b=2, c.d=3]"], "devices": ["['/dev/a:/dev/a']", "['/dev/b:/dev/a:r']"], "security_opt": ["[a:b]", "[a:b, c]"], "dns_opt": ["[a]", "[b, a]"], "group_add": ["[1]", "[1, x]"],
    "profiles": ["[p]", "[q]"], "annotations": ["{a: b}", "[a=c]"], "develop": ["{watch: [{path: ., action: rebuild}]}", "{watch: [{path: ./x, action: sync, target: /x}]}"], "post_start": ["[{command: a}]", "[{command: [b], user: u}]"],
    "external_links": ["[a]", "[a:b, c]"], "links": ["[b]", "['b:c']"], "volumes_from": ["[b]", "['b:ro']"], "storage_opt": ["{a: b}", "{a: c, d: e}"], "blkio_config": ["{weight: 5}", "{device_read_bps: [{path: /a, rate: 1m}]}"], "gpus": ["all", "[{count: 2}]"],
    "device_cgroup_rules": ["['c 1:1 r']", "['c 1:1 r', 'b 2:2 w']"], "entrypoint": ["x y", "[z]", "null"], "tty": ["true", "null"], "mem_limit": ["1g", "null"], "image": ["i", "null"], "network_mode": ["host", "null"],
}


def _chained(choice):
    """Values that come through a chain of files, with marks on the way."""
    names = choice.sample(sorted(LISTS), choice.choice([1, 1, 2]))
    if {"networks", "network_mode"} <= set(names):
        names.remove("network_mode")
    mark = lambda: choice.choice(["", "", "", "!override ", "!reset "])
    values = lambda: "".join("    %s: %s%s\n" % (name, mark(), choice.choice(LISTS[name])) for name in names if choice.random() < 0.8)
    image = "" if "image" in names or "build" in names else "    image: x\n"
    way = choice.choice(["files", "extends", "both", "flags", "anchors"])
    others = "  b: {image: b}\n  base0: {image: q}\n"
    if way == "files":
        return {"files": {"compose.yaml": "name: p\nservices:\n  a:\n%s%s%s%s" % (image, values(), others, _top()), "compose.override.yaml": "services:\n  a:\n%s    x-1: 1\n" % values()}}
    if way == "flags":
        files = {"1.yaml": "name: p\nservices:\n  a:\n%s%s%s%s" % (image, values(), others, _top()), "2.yaml": "services:\n  a:\n%s    x-1: 1\n" % values(), "sub/3.yaml": "services:\n  a:\n%s    x-2: 1\n" % values()}
        return {"files": files, "before": ["-f", "1.yaml", "-f", "2.yaml", "-f", "sub/3.yaml"]}
    if way == "anchors":
        text = "name: p\nx-one: &one\n%s    x-1: 1\nx-two: &two\n    <<: *one\n%s    x-2: 2\nservices:\n  a:\n%s    <<: %s\n%s" % (values().replace("!reset ", ""), values().replace("!reset ", ""), image, choice.choice(["*two", "[*one, *two]", "[*two, *one]"]), values())
        return {"files": {"compose.yaml": text + others + _top()}}
    chain = "services:\n  base:\n    extends: {service: deeper, file: deep/er.yaml}\n%s    x-1: 1\n" % values()
    deeper = "services:\n  deeper:\n%s%s    x-2: 2\n  b: {image: b}\n" % (image, values())
    own = "name: p\nservices:\n  a:\n    extends: {service: base, file: sub/base.yaml}\n%s%s%s" % (values(), others, _top())
    files = {"compose.yaml": own, "sub/base.yaml": chain, "sub/deep/er.yaml": deeper}
    for folder in ("sub", "sub/deep"):
        files.update({"%s/%s" % (folder, name): FILES[name] for name in ("e.env", "f.env")})
    if way == "both":
        files["compose.override.yaml"] = "services:\n  a:\n%s    x-3: 3\n" % values()
    return {"files": files}


QUESTIONS = [["--services"], ["--volumes"], ["--images"], ["--networks"], ["--profiles"], ["--models"], ["--hash", "*"], ["--hash", "a"], ["--hash", "a,b"], ["--hash", "nope"], ["--variables"], ["--environment"], ["-q"], ["--format", "yaml"],
             ["--no-interpolate"], ["--no-normalize"], ["--no-path-resolution"], ["--no-consistency"], ["--no-env-resolution"], ["--no-interpolate", "--format", "json"], ["--no-interpolate", "--variables"], ["--services", "b"], ["--images", "a"],
             ["--format", "xml"], ["--no-normalize", "--no-path-resolution", "--no-interpolate"], ["--lock-image-digests", "--services"], ["--images", "--format", "json"], ["--services", "--format", "json"], ["--variables", "--format", "json"],
             ["--environment", "--format", "json"], ["--networks", "b"], ["--volumes", "a"], ["--output", "/dev/stdout"], ["-o", "out.yaml"], ["--profiles", "a"], ["--hash", "*", "a"], ["--no-interpolate", "--services"], ["--format", "json", "c"]]


def _asked(choice):
    """Every question of `config`, of a project that has something of everything."""
    text = "name: p\nservices:\n  a:\n    image: 'a:${TAG:-latest}'\n    networks: [n, default]\n    volumes: ['vol:/v', './x:/x']\n    environment: {A: '${FROM_ENV}', B: '${NONE}', C: $$x, D: '${V:?must}'}\n    env_file: e.env\n"
    text += "    depends_on: [b]\n    secrets: [s]\n  b:\n    build: {context: ./b, args: {K: '${ARG_K-}', L: null}}\n    profiles: %s\n  c:\n    build: .\n    image: c\n    profiles: [q, p]\n    configs: [s]\n" % choice.choice(["[]", "[p]"])
    text += "x-a: &x {k: '${XV:+set}'}\nx-b: *x\n" + _top(choice.choice(["volumes: {vol: {name: '${VN:-vn}'}, unused: {}}", "networks: {n: {external: true}, unused: {}}", "networks: {n: {name: nn}}", ""]))
    before = choice.choice([[], [], ["--profile", "p"], ["--profile", "*"], ["-p", "other"], ["--project-directory", "sub"], ["-p", "Bad_Name"], ["--all-resources"]])
    return {"files": {"compose.yaml": text, "sub/e.env": "E=sub\n"}, "before": before, "asks": choice.choice(QUESTIONS)}


def _steered(choice):
    """The variables that say which files, which name and which profiles."""
    service = lambda name, more="": "services:\n  %s: {image: '%s-${W:-no}'%s}\n" % (name, name, more)
    files = {"compose.yaml": service("main"), "compose.override.yaml": service("main", ", labels: {o: '1'}"), "a.yaml": service("a", ", profiles: [p]"), "b.yaml": "name: from-file\n" + service("b"), "docker-compose.yml": service("old"), "sub/compose.yaml": service("sub"),
             "1.env": "W=one\n", "2.env": "W=two\nCOMPOSE_PROFILES=p\n", "docker-compose.override.yml": service("old", ", labels: {o: '2'}"), "sub/.env": "W=subdot\nCOMPOSE_PROJECT_NAME=subname\n"}
    for name in choice.sample(["compose.yaml", "compose.override.yaml", "docker-compose.yml"], choice.choice([0, 0, 1])):
        del files[name]
    steer = {"COMPOSE_FILE": ["a.yaml", "a.yaml:b.yaml", "b.yaml:none.yaml", "sub/compose.yaml", "a.yaml,b.yaml", ""], "COMPOSE_PATH_SEPARATOR": [",", ":", ""], "COMPOSE_PROJECT_NAME": ["n1", "N2", "", "-x", "a.b"], "COMPOSE_PROFILES": ["p", "*", "", "x"],
             "COMPOSE_ENV_FILES": ["1.env", "1.env,2.env", "none.env", ""], "COMPOSE_DISABLE_ENV_FILE": ["1", "true", "false", "x"], "COMPOSE_COMPATIBILITY": ["1", "true"], "COMPOSE_IGNORE_ORPHANS": ["1"], "COMPOSE_REMOVE_ORPHANS": ["x"], "W": ["shell"]}
    chosen = {name: choice.choice(steer[name]) for name in choice.sample(sorted(steer), choice.randint(1, 4))}
    variables, dotted = {}, ""
    for name, value in chosen.items():
        if choice.random() < 0.5:
            variables[name] = value
        else:
            dotted += "%s=%s\n" % (name, value)
    if dotted:
        files[".env"] = dotted
    before = choice.choice([[], [], [], ["-f", "a.yaml"], ["-f", "sub/compose.yaml"], ["--project-directory", "sub"], ["--env-file", "1.env"], ["-p", "given"], ["--profile", "p"], ["-f", "sub/compose.yaml", "-f", "a.yaml"], ["--env-file", "2.env", "--env-file", "1.env"]])
    return {"files": files, "before": before, "variables": variables, "asks": choice.choice([None, None, ["--environment"], ["--services"]])}


SHAPES = [_scalars, _scalars, _scalars, _environments, _environments, _profiled, _nested, _chained, _chained, _chained, _asked, _steered]


def mixed(seed):
    """Mixed projects of these kinds without end."""
    index = 0
    while True:
        choice = random.Random("more-%s-%d" % (seed, index))
        shape = choice.choice(SHAPES)
        made = shape(choice)
        project = Project("%s-%s-%d" % (shape.__name__.strip("_"), seed, index), made["files"], made.get("flags", ()), made.get("before", ()))
        project.variables, project.asks = made.get("variables", {}), made.get("asks")
        yield project
        index += 1
