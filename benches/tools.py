"""The tools that are timed, and how a command of theirs is run."""

import glob
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import time

COMMAND_SECONDS_MAX = 300


class Failed(Exception):
    """A tool could not do it."""


def cache_folder():
    home = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or home, "rcompose")


def work_folder():
    return os.path.join(cache_folder(), "bench")


def project_folder(name):
    return os.path.join(work_folder(), "projects", name)


class Tool:
    """A compose tool by the words that begin its commands."""

    name = ""
    # argv[0] or executable of what supports its containers.
    support = ()

    def compose(self, _folder):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def close(self):
        pass

    def load(self, archive):
        """Seconds of loading an archive of images."""
        raise NotImplementedError

    def pull(self, image):
        """Seconds of pulling an image."""
        raise NotImplementedError

    def unload(self, image):
        """Removes an image."""
        raise NotImplementedError

    def load_images(self):
        for archive in archives():
            self.load(archive)

    def run(self, folder, words, check=True):
        """(seconds, stdout) of a compose command in a project's folder."""
        return self.timed(self.compose(folder) + words, folder, check)

    def timed(self, command, folder, check=True):
        began = time.perf_counter()
        try:
            done = subprocess.run(
                command, cwd=folder, env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=COMMAND_SECONDS_MAX, check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{' '.join(command[-4:])}: {error}") from error
        seconds = time.perf_counter() - began
        if check and done.returncode:
            tail = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-400:]
            raise Failed(f"{' '.join(command[-4:])}: exit code {done.returncode}: {tail}")
        return seconds, done.stdout.decode("utf-8", "replace")

    def memory(self):
        """MiB of everything that supports containers, by proportional share."""
        kibibytes = 0
        for process in glob.glob("/proc/[0-9]*"):
            try:
                with open(process + "/cmdline", "rb") as file:
                    program = os.path.basename(file.read().split(b"\0")[0].decode("utf-8", "replace"))
                if program in self.support:
                    with open(process + "/smaps_rollup", encoding="ascii") as file:
                        kibibytes += int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M)[1])
            except (OSError, TypeError):
                continue
        return kibibytes / 1024


class Rcompose(Tool):
    name = "rcompose"
    support = ("rcompose",)

    def __init__(self):
        self.binary = os.environ["RCOMPOSE"]
        self.root = os.path.join(work_folder(), "rcompose")

    def compose(self, _folder):
        return [self.binary]

    def environment(self):
        return dict(os.environ, RCOMPOSE_ROOT=self.root)

    def load(self, archive):
        return self.timed([self.binary, "image", "load", "-i", archive], "/")[0]

    def pull(self, image):
        return self.timed([self.binary, "image", "pull", "-q", image], "/")[0]

    def unload(self, image):
        self.timed([self.binary, "image", "rm", "-f", image], "/", check=False)


class Peer(Tool):
    """A tool that lives in the peers' root."""

    loader = ()
    puller = ()

    def __init__(self):
        with open(os.path.join(work_folder(), "run", "peers.pid"), encoding="ascii") as file:
            self.root = f"--mount=/proc/{file.read().strip()}/ns/mnt"

    def inside(self, folder):
        return ["nsenter", self.root, f"--wdns={folder}"]

    def environment(self):
        return dict(
            os.environ, DOCKER_HOST=f"unix://{work_folder()}/run/docker.sock", HOME="/root",
            PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", PODMAN_IGNORE_CGROUPSV1_WARNING="1",
        )

    def load(self, archive):
        return self.timed([*self.inside("/"), *self.loader, archive], "/")[0]

    def pull(self, image):
        return self.timed([*self.inside("/"), *self.puller, image], "/")[0]

    def unload(self, image):
        self.timed([*self.inside("/"), self.loader[0], "rmi", "-f", image], "/", check=False)


class Docker(Peer):
    name = "docker"
    support = ("dockerd", "containerd", "containerd-shim-runc-v2", "docker-proxy")
    loader = ("docker", "load", "-q", "-i")
    puller = ("docker", "pull", "-q")

    def compose(self, folder):
        return [*self.inside(folder), "docker", "compose"]


class Podman(Peer):
    name = "podman"
    support = ("conmon", "aardvark-dns", "netavark", "podman")
    loader = ("podman", "--cgroup-manager=cgroupfs", "load", "-q", "-i")
    puller = ("podman", "--cgroup-manager=cgroupfs", "pull", "-q", "--tls-verify=false")

    def compose(self, folder):
        return [*self.inside(folder), "podman-compose", "--podman-args=--cgroup-manager=cgroupfs"]


TOOLS = {tool.name: tool for tool in (Rcompose, Docker, Podman)}


def archives():
    """The bench's own image, and the example's if they were assembled."""
    yield os.path.join(work_folder(), "bench.tar")
    for kind in ("postgres", "redis", "api"):
        archive = os.path.join(cache_folder(), "images", kind + ".tar")
        if os.path.exists(archive):
            # In the folder that the peers' root sees.
            copy = os.path.join(work_folder(), kind + ".tar")
            if not os.path.exists(copy) or os.path.getmtime(copy) < os.path.getmtime(archive):
                subprocess.run(["cp", archive, copy], check=True)
            yield copy


def make_image(load):
    """bench:local: busybox with links for its applets, and the load program."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in ("bin", "etc", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, source in (("bin/busybox", "/usr/bin/busybox"), ("bin/load", load)):
            with open(source, "rb") as file:
                add(tar, path, file.read(), 0o755)
        add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
        for applet in subprocess.run(["busybox", "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split():
            if applet != "busybox":
                entry = tarfile.TarInfo("bin/" + applet)
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
    layer = layer.getvalue()
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine), "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
    }).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name, "RepoTags": ["bench:local"], "Layers": [digest + "/layer.tar"]}]).encode()
    with tarfile.open(os.path.join(work_folder(), "bench.tar"), "w") as tar:
        add(tar, "manifest.json", manifest, 0o644)
        add(tar, name, config, 0o644)
        add(tar, digest + "/layer.tar", layer, 0o644)


def make_large_image(path, layers=4, files=2000, size=50_000):
    """large:local, of 400 MB in many files that don't pack well."""
    noise = os.urandom(size + files * layers)
    digests, names = [], []
    with tarfile.open(path, "w") as tar:
        for layer in range(layers):
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w") as inner:
                for file in range(files):
                    start = layer * files + file
                    add(inner, f"data/{layer}/{file % 50}/{file}", noise[start:start + size], 0o644)
            content = content.getvalue()
            digests.append("sha256:" + hashlib.sha256(content).hexdigest())
            names.append(f"{layer}/layer.tar")
            add(tar, names[-1], content, 0o644)
        config = json.dumps({
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine), "os": "linux",
            "config": {"Cmd": ["sh"]}, "rootfs": {"type": "layers", "diff_ids": digests},
        }).encode()
        name = hashlib.sha256(config).hexdigest() + ".json"
        add(tar, name, config, 0o644)
        manifest = [{"Config": name, "RepoTags": ["large:local"], "Layers": names}]
        add(tar, "manifest.json", json.dumps(manifest).encode(), 0o644)


def add(tar, path, content, mode):
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = len(content), mode, 1700000000
    tar.addfile(entry, io.BytesIO(content))
