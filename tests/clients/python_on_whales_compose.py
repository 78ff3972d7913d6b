"""python-on-whales: its compose calls, and the container calls behind them,
answered by us in the docker client's place."""

import sys

from python_on_whales import DockerClient

docker = DockerClient(
    client_call=[sys.argv[1]], compose_files=["compose.yaml"], compose_project_name="demo"
)
config = docker.compose.config()
assert set(config.services) == {"web", "db"}, config
docker.compose.up(detach=True, wait=True)
containers = docker.compose.ps()
assert {c.name for c in containers} == {"demo-web-1", "demo-db-1"}, containers
web = next(c for c in containers if c.name == "demo-web-1")
assert web.state.status == "running" and web.state.health.status == "healthy", web.state
assert web.config.labels["com.docker.compose.service"] == "web"
assert web.network_settings.ports["80/tcp"][0]["HostIp"] == "127.0.0.1"
assert docker.compose.execute("web", ["cat", "/www/index.html"], tty=False) == "hello"
assert "serving" in docker.compose.logs(services=["web"])
assert web.execute(["echo", "inside"]) == "inside"
host, port = docker.compose.port("web", 80)
assert host == "127.0.0.1" and int(port) > 0
docker.compose.restart(["db"])
docker.compose.stop()
assert all(not c.state.running for c in docker.compose.ps(all=True))
docker.compose.start()
assert [p.name for p in docker.compose.ls()] == ["demo"]
docker.compose.down(volumes=True)
assert docker.compose.ls(all=True) == []
assert docker.run("busybox:local", ["echo", "once"], remove=True) == "once"
with docker.volume.create("pow") as volume:
    assert volume.name == "pow"
with docker.network.create("pow") as network:
    assert network.name == "pow" and network.ipam.config
print("python-on-whales: compose, container, volume and network calls")
