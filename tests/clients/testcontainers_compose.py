"""testcontainers' DockerCompose: every call that needs no Engine API."""

import sys
from urllib.request import urlopen

from testcontainers.compose import DockerCompose

folder = sys.argv[1]
options = {"docker_command_path": sys.argv[2]} if len(sys.argv) > 2 else {}
with DockerCompose(folder, compose_file_name="compose.yaml", wait=True, **options) as compose:
    container = compose.get_container("web")
    assert container.Service == "web" and container.State == "running", container
    assert container.Health == "healthy", container
    assert container.ExitCode == 0 and len(container.ID) >= 12, container
    host, port = compose.get_service_host_and_port("web", 80)
    assert host in ("0.0.0.0", "127.0.0.1", "localhost"), host
    with urlopen(f"http://127.0.0.1:{port}/index.html") as answer:
        assert answer.read() == b"hello\n"
    stdout, stderr = compose.get_logs("web")
    assert "serving" in stdout, (stdout, stderr)
    stdout, stderr, code = compose.exec_in_container(["cat", "/www/index.html"], "web")
    assert (stdout, code) == ("hello\n", 0), (stdout, stderr, code)
    assert {c.Service for c in compose.get_containers()} == {"web", "db"}
    config = compose.get_config()
    assert set(config["services"]) == {"web", "db"}, config
    compose.stop(down=False)
    states = {c.Service: c.State for c in compose.get_containers(include_all=True)}
    assert states == {"web": "exited", "db": "exited"}, states
print("testcontainers: all calls")
