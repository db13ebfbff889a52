"""A SuperLink and its SuperNodes as processes on loopback, with TLS and keys of nodes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="groups of processes are ended as on Unix"),
]
trustme = pytest.importorskip("trustme", reason="trustme makes the certificates of this test")

PATIENCE = 240.0
OVERHEAD = 4000
"""Bytes that Flower adds to a message of ours and its few arrays, at most."""
BIN = Path(sys.executable).parent


def tool(name):
    found = shutil.which(name, path=str(BIN)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Federation:
    """A SuperLink on loopback.

    Attributes:
        folder: Where everything of it is.
        environment: What its processes see.
        address: Where it listens.
    """

    def __init__(self, folder, stack):
        self.folder, self._stack = folder, stack
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {
            **os.environ,
            "FLWR_HOME": str(folder / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }
        (folder / "flwr").mkdir()
        self._certificates()
        (folder / "flwr" / "config.toml").write_text(
            f'[superlink.here]\naddress = "{self.address}"\nroot-certificates = "{folder / "ca.crt"}"\n'
        )

    def _certificates(self):
        authority = trustme.CA()
        server = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(str(self.folder / "ca.crt"))
        server.private_key_pem.write_to_path(str(self.folder / "server.key"))
        for part in server.cert_chain_pems:
            part.write_to_path(str(self.folder / "server.pem"), append=True)

    def start(self, name, *arguments):
        """Start a process in a group of its own, which ends with the test."""
        log = self._stack.enter_context(open(self.folder / f"{name}.log", "wb"))
        process = subprocess.Popen(
            [tool(arguments[0]), *map(str, arguments[1:])],
            env=self.environment,
            cwd=self.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._stack.callback(end, process)
        return process

    def call(self, *arguments, check=True):
        ended = subprocess.run(
            [tool(arguments[0]), *map(str, arguments[1:])],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert not check or ended.returncode == 0, (arguments, ended.stdout, ended.stderr, self.logs())
        return ended

    def logs(self):
        return {path.name: path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log")}

    def superlink(self):
        host, port = self.address.split(":")
        self.start(
            "superlink",
            "flower-superlink",
            *("--ssl-ca-certfile", self.folder / "ca.crt"),
            *("--ssl-certfile", self.folder / "server.pem"),
            *("--ssl-keyfile", self.folder / "server.key"),
            "--enable-supernode-auth",
            *("--host", host, "--port", port),
            "--disable-runtime-dependency-installation",
        )
        self.until(lambda: self.call("flwr", "list", "here", "--format", "json", check=False).returncode == 0)

    def node(self, number, config, *, register=True):
        key = self.folder / f"node{number}"
        subprocess.run(
            [tool("ssh-keygen"), "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", str(key)], check=True
        )
        if register:
            self.call("flwr", "supernode", "register", f"{key}.pub", "here")
        return self.start(
            f"node{number}",
            "flower-supernode",
            *("--superlink", self.address, "--port", free_port()),
            *("--root-certificates", self.folder / "ca.crt"),
            *("--auth-supernode-private-key", key),
            *("--node-config", config),
        )

    def until(self, true, patience=PATIENCE):
        end = time.monotonic() + patience
        while not true():
            assert time.monotonic() < end, self.logs()
            time.sleep(1)

    def runs(self):
        said = self.call("flwr", "list", "here", "--format", "json").stdout
        return json.loads(said[said.index("{") :])["runs"]

    def finished(self):
        self.until(lambda: self.runs()[0]["status"].startswith("finished"))
        return self.runs()[0]


def end(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def federation(folder):
    with ExitStack() as stack:
        made = Federation(folder, stack)
        made.superlink()
        yield made


def app(folder, cli, **config):
    said = {"data": "digits", "clients": 2, "steps": 10, "ipc": 2, "model": "mlp,width=16,depth=1", **config}
    options = [part for key, value in said.items() for part in (f"--{key}", value)]
    assert cli("federated", "app", folder / "app", "tensor", *options).code == 0
    text = (folder / "app" / "pyproject.toml").read_text()
    text = text.replace('out = ""', f'out = "{folder / "run"}"').replace(
        "timeout = 3600.0", "timeout = 150.0"
    )
    (folder / "app" / "pyproject.toml").write_text(text)
    return folder / "app"


def test_a_run_on_a_superlink_with_two_nodes_over_tls(tmp_path, cli):
    place = app(tmp_path, cli)
    with federation(tmp_path) as here:
        for number in range(2):
            here.node(number, f"partition-id={number}")
        here.call("flwr", "run", place, "here")
        ended = here.finished()
        assert ended["status"] == "finished:completed", (ended, here.logs())
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["rounds"][0]["clients"] == 2
    assert result["dropped"] == []
    assert result["accuracy"]["mean"] > 50
    # What the SuperLink counts has names, types and digests of its objects besides: some 300 bytes each.
    counted, own = ended["network-traffic"], result["bytes"]
    for theirs, ours in ((counted["inbound-bytes"], own["up"]), (counted["outbound-bytes"], own["down"])):
        assert ours < theirs < ours + 2 * OVERHEAD


def test_a_node_without_a_key_that_is_known_is_refused(tmp_path, cli):
    with federation(tmp_path) as here:
        node = here.node(0, "partition-id=0", register=False)
        here.until(lambda: node.poll() is not None)
        assert node.returncode != 0


SLOW = """
import pathlib
import time

from attar_federated.deployment import own_data
from attar_federated.flower import client_app


def slowly(node, config):
    if "slow" in node:
        pathlib.Path(node["slow"]).touch()
        time.sleep(600)
    return own_data(node, config)


app = client_app(slowly)
"""


def test_a_node_that_is_killed_in_a_round_does_not_stop_the_run(tmp_path, cli):
    place, begun = app(tmp_path, cli), tmp_path / "begun"
    (place / "attar_app" / "client_app.py").write_text(SLOW)
    with federation(tmp_path) as here:
        here.node(0, "partition-id=0")
        victim = here.node(1, f'partition-id=1 slow="{begun}"')
        here.call("flwr", "run", place, "here")
        here.until(begun.exists)
        os.killpg(victim.pid, signal.SIGKILL)
        ended = here.finished()
        assert ended["status"] == "finished:completed", (ended, here.logs())
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["rounds"][0]["clients"] == 1
    assert len(result["dropped"]) == 1
    assert "Node Unavailable" in result["dropped"][0]["reason"]
