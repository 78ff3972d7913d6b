"""pytest-docker with its own defaults: it calls `docker compose`."""

import pathlib
import socket

import pytest


@pytest.fixture(scope="session")
def docker_compose_file():
    return str(pathlib.Path.cwd() / "compose.yaml")


@pytest.fixture(scope="session")
def web(docker_ip, docker_services):
    port = docker_services.port_for("web", 80)

    def answers():
        try:
            with socket.create_connection((docker_ip, port), timeout=1) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return connection.recv(100).startswith(b"HTTP/1.")
        except OSError:
            return False

    docker_services.wait_until_responsive(timeout=20, pause=0.05, check=answers)
    return docker_ip, port


def test_the_service_answers(web):
    host, port = web
    assert host == "127.0.0.1"
    assert port > 0


def test_a_command_of_its_own(docker_services):
    executor = docker_services._docker_compose
    assert b"web" in executor.execute("ps --services")
    assert executor.execute("exec -T web echo inside").strip() == b"inside"
