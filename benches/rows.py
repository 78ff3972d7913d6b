"""What is measured: a row prepares, runs once a round for each tool, and cleans up."""

import os
import shutil
import socket
import subprocess
import time

import tools
from tools import Failed, project_folder

HERE = os.path.dirname(os.path.abspath(__file__))
# Dies at the first signal, as a program with a handler does.
POLITE = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"]


def service(command, **more):
    return {"image": "bench:local", "command": command, **more}


def write_project(name, services, **more):
    """A compose file in JSON, which is YAML."""
    import json

    folder = project_folder(name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "compose.yaml"), "w", encoding="utf-8") as file:
        json.dump({"name": name, "services": services, **more}, file)
    return folder


def wait_until(condition, seconds, what):
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise Failed(f"{what} did not come about in {seconds} s")
        time.sleep(0.002)


def listens(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


class Row:
    number, name, repeats = 0, "", True

    def __init__(self):
        self.folder = None

    def make(self):
        raise NotImplementedError

    def prepare(self, tool):
        self.folder = self.make()
        tool.run(self.folder, ["down", "-v"], check=False)

    def once(self, tool):
        raise NotImplementedError

    def finish(self, tool):
        if self.folder:
            try:
                tool.run(self.folder, ["down", "-v"], check=False)
            except Failed:
                pass


class Stack(Row):
    """up -d --wait of Postgres, Redis and API: fresh and warm volume, beside the bare programs"""

    number, name = 1, "stack"

    def make(self):
        folder = project_folder("dev-stack")
        shutil.copytree(os.path.join(HERE, "..", "examples", "dev-stack"), folder, dirs_exist_ok=True)
        assemble = os.path.join(folder, "images", "assemble")
        for line in subprocess.run([assemble, "--print"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
            kind, image, _id, _archive = line.split()
            os.environ[kind.upper() + "_IMAGE"] = image
        if "POSTGRES_IMAGE" not in os.environ:
            raise Failed("examples/dev-stack/images/assemble has not run")
        return folder

    def once(self, tool):
        wait = ["up", "-d", "--wait", "--no-build"]
        yield "fresh volume", tool.run(self.folder, wait)[0], "s"
        if not listens(8080):
            raise Failed("the API is not there after --wait")
        yield "down", tool.run(self.folder, ["down"])[0], "s"
        yield "warm volume", tool.run(self.folder, wait)[0], "s"
        tool.run(self.folder, ["down", "-v"])


class Probe(Row):
    """up -d --wait behind a probe with the default interval that passes at once"""

    number, name = 2, "probe"

    def make(self):
        db = service(POLITE, healthcheck={"test": ["CMD", "true"]})
        web = service(POLITE, depends_on={"db": {"condition": "service_healthy"}})
        return write_project("probe", {"db": db, "web": web})

    def once(self, tool):
        yield "up -d --wait", tool.run(self.folder, ["up", "-d", "--wait"])[0], "s"
        tool.run(self.folder, ["down"])


class UpDown(Row):
    """up -d, up -d again and down"""

    count, chain, command = 1, False, POLITE

    def __init__(self, number, name, count, chain=False, command=None):
        super().__init__()
        self.number, self.name, self.count, self.chain = number, name, count, chain
        self.command = command or POLITE
        self.__doc__ = f"{self.__doc__}: {count} services{' in a chain' if chain else ''}{'' if self.command is POLITE else ' without a handler'}"

    def make(self):
        services = {}
        for i in range(1, self.count + 1):
            after = {"depends_on": [f"s{i - 1}"]} if self.chain and i > 1 else {}
            services[f"s{i}"] = service(self.command, **after)
        return write_project(self.name, services)

    def prepare(self, tool):
        super().prepare(tool)
        tool.run(self.folder, ["up", "-d"])
        tool.run(self.folder, ["down"])

    def once(self, tool):
        yield "up -d", tool.run(self.folder, ["up", "-d"])[0], "s"
        yield "up -d with nothing to do", tool.run(self.folder, ["up", "-d"])[0], "s"
        began = time.perf_counter()
        yield "down, until it returns", tool.run(self.folder, ["down"])[0], "s"
        wait_until(lambda: not bridges(tool), 5, "the end of the bridge")
        yield "down, until the links are gone", time.perf_counter() - began, "s"


def bridges(tool):
    prefix = {"rcompose": "rc", "docker": "br-", "podman": "podman"}[tool.name]
    return [name for name in os.listdir("/sys/class/net") if name.startswith((prefix, "veth"))]


class Run(Row):
    """run --rm SERVICE true"""

    number, name = 8, "run"

    def make(self):
        return write_project("run", {"s": service(["true"])})

    def once(self, tool):
        no_terminal = [] if tool.name == "podman" else ["-T"]
        yield "run --rm true", tool.run(self.folder, ["run", "--rm", *no_terminal, "s", "true"])[0], "s"


class Commands(Row):
    """exec, ps, logs with 10 services up"""

    number, name = 9, "commands"

    def make(self):
        return write_project("commands", {f"s{i}": service(POLITE) for i in range(1, 11)})

    def prepare(self, tool):
        super().prepare(tool)
        tool.run(self.folder, ["up", "-d"])

    def once(self, tool):
        for words in (["exec", "-T", "s1", "true"], ["ps"], ["logs"]):
            yield " ".join(words), tool.run(self.folder, words)[0], "s"


class Config(Row):
    """config of 100 and of 2,000 services"""

    number, name = 10, "config"

    def make(self):
        self.folders = {count: self.write(count) for count in (100, 2000)}
        return None

    def write(self, count):
        services = {}
        for i in range(count):
            services[f"s{i}"] = service(
                ["serve", "--port", "80"], restart="unless-stopped", ports=[f"{10000 + i}:80"],
                environment={"NAME": f"s{i}", "LEVEL": "${LEVEL:-info}", "URL": f"http://s{i}.example"},
                volumes=["data:/data", "./conf:/etc/conf:ro"], networks=["front", "back"], labels=["tier=web"],
                healthcheck={"test": ["CMD", "check"], "interval": "10s"}, mem_limit="64m",
                **({"depends_on": {f"s{i - 1}": {"condition": "service_healthy"}}} if i % 10 else {}))
        return write_project(f"config{count}", services, networks={"front": {}, "back": {}}, volumes={"data": {}})

    def once(self, tool):
        for count, folder in self.folders.items():
            yield f"{count} services", tool.run(folder, ["config"])[0], "s"


class Memory(Row):
    """memory of all that supports 0, 10 and 50 containers"""

    number, name = 11, "memory"

    def make(self):
        write_project("memory50", {f"s{i}": service(POLITE) for i in range(1, 51)})
        return write_project("memory10", {f"s{i}": service(POLITE) for i in range(1, 11)})

    def once(self, tool):
        for count in (0, 10, 50):
            folder = project_folder(f"memory{count or 10}")
            if count:
                tool.run(folder, ["up", "-d"])
            time.sleep(2)
            yield f"{count} containers", tool.memory(), "MiB"
            if count:
                tool.run(folder, ["down"])


class Port(Row):
    """published port on loopback: throughput, exchanges with 1 and 50 clients"""

    number, name = 12, "port"

    def make(self):
        return write_project("port", {
            "zeros": service(["load", "zeros", "9000"], ports=["19000:9000"], stop_signal="SIGKILL"),
            "echo": service(["load", "echo", "9001"], ports=["19001:9001"], stop_signal="SIGKILL"),
        })

    def once(self, tool):
        tool.run(self.folder, ["up", "-d"])
        wait_until(lambda: listens(19000) and listens(19001), 5, "an answer")
        load = os.path.join(tools.work_folder(), "load")
        for figure, words, unit in (
            ("throughput", ["drain", "127.0.0.1:19000", "2"], "B/s"),
            ("1 client", ["ask", "127.0.0.1:19001", "1", "2"], "/s"),
            ("50 clients", ["ask", "127.0.0.1:19001", "50", "2"], "/s"),
        ):
            yield figure, float(tool.timed([load, *words], "/")[1]), unit
        tool.run(self.folder, ["down"])


class Dns(Row):
    """embedded DNS: pipelined questions, median of one lookup"""

    number, name = 13, "dns"

    def make(self):
        return write_project("dns", {"a": service(POLITE), "b": service(POLITE)})

    def once(self, tool):
        tool.run(self.folder, ["up", "-d"])
        inside = ["exec", "-T", "a", "load"]
        yield "64 under way", float(tool.run(self.folder, [*inside, "names", "127.0.0.11:53", "b", "64", "2"])[1]), "/s"
        yield "one lookup", float(tool.run(self.folder, [*inside, "name", "127.0.0.11:53", "b", "2000"])[1]), "us"
        tool.run(self.folder, ["down"])


class Logs(Row):
    """200 MB of 100-byte log lines to exit, then logs of them"""

    number, name = 14, "logs"
    lines = 2_000_000

    def make(self):
        command = ["sh", "-c", f"load lines {self.lines * 100} && touch /done/done"]
        return write_project("logs", {"s": service(command, volumes=["./done:/done"])})

    def once(self, tool):
        done = os.path.join(self.folder, "done", "done")
        if os.path.exists(done):
            os.unlink(done)
        began = time.perf_counter()
        tool.run(self.folder, ["up", "-d"])
        wait_until(lambda: os.path.exists(done), 120, "the end of the lines")
        yield "until the program ends", time.perf_counter() - began, "s"
        prefix = [] if tool.name == "podman" else ["--no-log-prefix"]
        seconds, text = tool.run(self.folder, ["logs", *prefix])
        found = text.count("\n")
        if found != self.lines:
            raise Failed(f"{found} of {self.lines} lines are kept")
        yield "logs of it", seconds, "s"
        tool.run(self.folder, ["down"])


class Build(Row):
    """build of two stages: nothing cached, the last COPY edited, all cached"""

    number, name = 17, "build"
    dockerfile = """\
FROM bench:local AS one
WORKDIR /work
COPY src src
RUN cat src/* >all && sleep 0 && echo built
FROM bench:local AS two
RUN echo two >/two
FROM bench:local
COPY --from=one /work/all /all
COPY --from=two /two /two
COPY last /last
CMD ["cat", "/all"]
"""

    def make(self):
        folder = write_project("build", {"s": {"image": "bench-built:local", "build": "."}})
        os.makedirs(os.path.join(folder, "src"), exist_ok=True)
        for number in range(100):
            self.write(folder, f"src/f{number}", f"{number}\n" * 100)
        self.write(folder, "Dockerfile", self.dockerfile)
        self.write(folder, "last", "1")
        return folder

    def write(self, folder, name, text):
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(text)

    def once(self, tool):
        yield "build --no-cache", tool.run(self.folder, ["build", "--no-cache"])[0], "s"
        self.write(self.folder, "last", str(time.time_ns()))
        yield "build after an edit of the last COPY", tool.run(self.folder, ["build"])[0], "s"
        yield "build with nothing to do", tool.run(self.folder, ["build"])[0], "s"


class BuildContext(Row):
    """build with nothing to do of a context of 50,000 files"""

    number, name = 17, "build-context"
    folders, files = 500, 100

    def make(self):
        folder = write_project("build-context", {"s": {"image": "bench-context:local", "build": "."}})
        for number in range(self.folders):
            inner = os.path.join(folder, "src", f"d{number}")
            os.makedirs(inner, exist_ok=True)
            for name in range(self.files):
                path = os.path.join(inner, f"f{name}")
                if not os.path.exists(path):
                    with open(path, "w", encoding="ascii") as file:
                        file.write(f"{number} {name}\n")
        with open(os.path.join(folder, "Dockerfile"), "w", encoding="ascii") as file:
            file.write("FROM bench:local\nCOPY src /src\n")
        return folder

    def prepare(self, tool):
        super().prepare(tool)
        tool.run(self.folder, ["build"])

    def once(self, tool):
        yield "build with nothing to do", tool.run(self.folder, ["build"])[0], "s"


class Parallel(Row):
    """8 projects of 3 services at once"""

    number, name = 18, "parallel"

    def make(self):
        return [write_project(f"parallel{i}", {f"s{n}": service(POLITE) for n in range(1, 4)}) for i in range(1, 9)]

    def prepare(self, tool):
        self.folder = None
        self.folders = self.make()
        self.all(tool, ["down"])

    def all(self, tool, words):
        began = time.perf_counter()
        running = [
            subprocess.Popen(
                tool.compose(folder) + words, cwd=folder, env=tool.environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for folder in self.folders
        ]
        if any([process.wait() for process in running]):
            raise Failed(" ".join(words))
        return time.perf_counter() - began

    def once(self, tool):
        yield "up -d", self.all(tool, ["up", "-d"]), "s"
        yield "down", self.all(tool, ["down"]), "s"


class Networks(Row):
    """networks before the pool of addresses runs out, up to 1,000"""

    number, name, repeats = 19, "networks", False
    at_once, most = 50, 1000

    def make(self):
        return None

    def prepare(self, tool):
        self.folder = None
        self.folders = []
        for number in range(self.most // self.at_once):
            names = [f"n{i}" for i in range(self.at_once)]
            one = service(POLITE, networks=names)
            self.folders.append(write_project(f"networks{number}", {"s": one}, networks=dict.fromkeys(names)))

    def once(self, tool):
        count = 0
        for folder in self.folders:
            try:
                tool.run(folder, ["up", "-d"])
            except Failed:
                count += len(bridges(tool)) % self.at_once
                break
            count += self.at_once
        yield "networks", count, ""

    def finish(self, tool):
        for folder in self.folders:
            try:
                tool.run(folder, ["down"], check=False)
            except Failed:
                pass


class Bare(Row):
    """the stack's programs alone, without containers: the limit of row 1"""

    number, name = 1, "bare"

    def make(self):
        root = os.path.join(tools.work_folder(), "bare")
        for kind in ("postgres", "redis", "api"):
            folder = os.path.join(root, kind)
            archive = os.path.join(tools.work_folder(), kind + ".tar")
            if not os.path.exists(archive):
                raise Failed("examples/dev-stack/images/assemble has not run")
            if not os.path.exists(os.path.join(folder, ".complete")):
                shutil.rmtree(folder, ignore_errors=True)
                unpack(archive, folder)
        return root

    def prepare(self, tool):
        if tool.name != "rcompose":
            raise Failed("measured once")
        self.root, self.folder = self.make(), None
        for kind in ("postgres", "redis", "api"):
            folder = os.path.join(self.root, kind)
            for source, target in (("/dev", "dev"), ("/proc", "proc")):
                subprocess.run(["mount", "--rbind", source, os.path.join(folder, target)], check=True)
            with open(os.path.join(folder, "etc/hosts"), "w", encoding="ascii") as file:
                file.write("127.0.0.1 localhost db cache\n")
        shutil.copy(os.path.join(HERE, "..", "examples", "dev-stack", "init.sql"), os.path.join(self.root, "postgres/docker-entrypoint-initdb.d"))

    def start(self, kind, *words, **variables):
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **variables}
        return subprocess.Popen(
            ["chroot", os.path.join(self.root, kind), *words], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )

    def once(self, _tool):
        data = os.path.join(self.root, "postgres/var/lib/postgresql/data")
        shutil.rmtree(data, ignore_errors=True)
        os.makedirs(data)
        for figure in ("fresh volume", "warm volume"):
            began = time.perf_counter()
            running = [
                self.start("postgres", "docker-entrypoint.sh", "postgres", PGDATA="/var/lib/postgresql/data", POSTGRES_USER="app", POSTGRES_PASSWORD="p", POSTGRES_DB="app"),
                self.start("redis", "sh", "-c", "cd /data && exec docker-entrypoint.sh redis-server --appendonly yes"),
            ]
            wait_until(lambda: listens(5432), 30, "Postgres")
            running.append(self.start("api", "python", "/app/server.py", DATABASE_URL="postgresql://app:p@db:5432/app", REDIS_URL="redis://cache:6379/0"))
            wait_until(lambda: listens(8080), 10, "the API")
            yield figure, time.perf_counter() - began, "s"
            for process in reversed(running):
                process.terminate() if process is not running[0] else process.send_signal(2)
                process.wait()

    def finish(self, tool):
        pass


def unpack(archive, folder):
    """The layers of a docker-archive, one over the other."""
    os.makedirs(folder)
    script = 'for l in $(tar xOf "$1" manifest.json | grep -o "[0-9a-f]*/layer.tar"); do tar xOf "$1" "$l" | tar xp --keep-directory-symlink -C "$2"; done; touch "$2/.complete"'
    subprocess.run(["bash", "-euc", script, "bash", archive, folder], check=True)


class Load(Row):
    """load of an archive of 400 MB in 8000 files"""

    number, name = 16, "load"

    def make(self):
        archive = os.path.join(tools.work_folder(), "large.tar")
        if not os.path.exists(archive):
            tools.make_large_image(archive + ".partial")
            os.rename(archive + ".partial", archive)
        return archive

    def prepare(self, tool):
        self.archive = self.make()
        tool.unload("large:local")

    def once(self, tool):
        yield "load", tool.load(self.archive), "s"
        tool.unload("large:local")

    def finish(self, tool):
        tool.unload("large:local")


class Pull(Load):
    """pull of the same image from a registry on loopback, then again with nothing new"""

    name = "pull"
    port = 5000
    registry = None

    def prepare(self, tool):
        if not shutil.which("docker-registry"):
            raise Failed("there is no docker-registry")
        self.image = f"127.0.0.1:{self.port}/large:1"
        if not self.registry:
            self.serve()
        tool.unload(self.image)
        tool.unload("large:local")

    def serve(self):
        """A registry that has the image, brought there by rcompose."""
        folder = os.path.join(tools.work_folder(), "registry")
        os.makedirs(folder, exist_ok=True)
        settings = os.path.join(folder, "config.yml")
        with open(settings, "w", encoding="ascii") as file:
            file.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '127.0.0.1:{self.port}'}}\n")
        Pull.registry = subprocess.Popen(["docker-registry", "serve", settings], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: listens(self.port), 10, "the registry")
        rcompose = tools.Rcompose()
        rcompose.load(self.make())
        for words in (["tag", "large:local", self.image], ["push", "-q", self.image]):
            rcompose.timed([rcompose.binary, "image", *words], "/")
        rcompose.unload(self.image)
        rcompose.unload("large:local")

    def once(self, tool):
        yield "pull", tool.pull(self.image), "s"
        yield "pull with nothing new", tool.pull(self.image), "s"
        tool.unload(self.image)

    def finish(self, tool):
        tool.unload(self.image)


ROWS = [
    Stack(), Bare(), Probe(), UpDown(3, "n1", 1), UpDown(4, "n10", 10), UpDown(4, "n50", 50), UpDown(5, "chain10", 10, chain=True),
    UpDown(7, "deaf1", 1, command=["sleep", "1000"]), Run(), Commands(), Config(), Memory(), Port(), Dns(), Logs(), Build(), BuildContext(),
    Parallel(), Networks(),
    Load(), Pull(),
]
