"""A complete Flower app in a folder, for servers and clients on other machines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from attar.files import write_file
from attar.folders import staged_folder

__all__ = ["write_folder"]

PACKAGE = "attar_app"

_SERVER = '''"""The server of the app."""

from attar_federated.deployment import server

app = server()
'''

_CLIENT = '''"""What runs at each client."""

from attar_federated.deployment import client

app = client()
'''

_README = """# A federated run of Attar

`flwr run` carries this app out on a SuperLink with its SuperNodes. Every machine needs
`pip install attar-federated` and the modality (`attar-{modality}`) in the Python that its SuperNode or
SuperLink runs in; data do not travel with the app.

What the run is stands in `pyproject.toml`, under `[tool.flwr.app.config]`; each of it can be changed for
a run:
`flwr run . NAME --run-config 'rounds=10 wire="float16"'`.

## Data

- `data` and `root` name the data of the server: its classes, preprocessing and test are theirs.
- A SuperNode with data of its own says so: `--node-config 'data="/srv/mine" partition-id=0'`. Classes that it
  lacks are no problem; classes that the server does not know are refused.
- A SuperNode without takes its share of the server's data by name: `--node-config 'partition-id=0'`.

## On one machine, to try

```console
export FLWR_HOME=$PWD/.flwr FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1
flower-superlink --insecure --host 127.0.0.1 --port 8000 --disable-runtime-dependency-installation
flower-supernode --insecure --superlink 127.0.0.1:8000 --port 9094 --node-config 'partition-id=0'
flower-supernode --insecure --superlink 127.0.0.1:8000 --port 9095 --node-config 'partition-id=1'
printf '[superlink.here]\\naddress = "127.0.0.1:8000"\\ninsecure = true\\n' >> $FLWR_HOME/config.toml
flwr run . here --stream
flwr list here --format json
```

`flwr run --stream` ends with 0 even where the run failed: `status` in `flwr list` says `finished:completed`.

## TLS and node keys

```console
flower-superlink --ssl-ca-certfile ca.crt --ssl-certfile server.pem --ssl-keyfile server.key \\
  --enable-supernode-auth
ssh-keygen -t ecdsa -b 384 -N "" -f node0
flwr supernode register node0.pub here
flower-supernode --root-certificates ca.crt --auth-supernode-private-key node0 --superlink HOST:8000
```

In `config.toml`, `root-certificates = "ca.crt"` stands in place of `insecure = true`. The server's
certificate must name the address that nodes connect to.
"""


def write_folder(folder: Path, config: Mapping[str, Any], *, force: bool) -> Path:
    """Write an app, whole or not at all.

    Args:
        folder: Where.
        config: What the run is configured by, see :data:`attar_federated.configure.KEYS`.
        force: Whether what stands there is replaced.

    Raises:
        UsageError: If the folder is occupied, or the disk refuses.
    """
    project = {
        "build-system": {"requires": ["hatchling"], "build-backend": "hatchling.build"},
        "project": {
            "name": "attar-app",
            "version": "0.1.0",
            "description": f"{config['protocol']} with Attar",
            "license": "Apache-2.0",
            # What a SuperLink would install for each run is installed there once instead.
            "dependencies": [],
        },
        "tool": {
            "hatch": {"build": {"targets": {"wheel": {"packages": [PACKAGE]}}}},
            "flwr": {
                "app": {
                    "publisher": "local",
                    "components": {
                        "serverapp": f"{PACKAGE}.server_app:app",
                        "clientapp": f"{PACKAGE}.client_app:app",
                    },
                    "config": dict(config),
                }
            },
        },
    }
    files = {
        "pyproject.toml": tomli_w.dumps(project),
        "README.md": _README.format(modality=config["modality"]),
        f"{PACKAGE}/__init__.py": '"""A federated run of Attar."""\n',
        f"{PACKAGE}/server_app.py": _SERVER,
        f"{PACKAGE}/client_app.py": _CLIENT,
    }
    with staged_folder(folder, force=force, kind="federated app") as aside:
        for name, text in files.items():
            write_file(aside / name, text.encode())
    return folder
