"""Command lines and configurations of the peers: each keeps readings over a crash as far as it can."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from device_sim.simulation.sensor_broker import free_port

Command = tuple[list[str], Mapping[str, str]]
API_SECONDS = 30.0


class PeerError(Exception):
    """A peer does not work as configured; the message states the reason."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a peer: its program, a folder of its own, the sensors' broker and the one that is its server."""

    program: Path
    folder: Path
    broker_port: int
    server_port: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A message that the server must publish when it sees a question, or the peer sends nothing."""

    question: bytes
    topic: str
    payload: bytes


def _nothing(_run: Run) -> None:
    """Do nothing: the configuration is in files."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer: the option that names its program, its durable settings, and how it is started."""

    program: str
    help: str
    settings: str
    command: Callable[[Run], Command]
    configure: Callable[[Run], None] = _nothing
    answer: Answer | None = None


def _telegraf_disk(run: Run) -> Command:
    return _telegraf(run, f'  buffer_strategy = "disk"\n  buffer_directory = "{run.folder}/buffer"\n')


def _telegraf(run: Run, buffer: str = "") -> Command:
    file = run.folder / "telegraf.conf"
    file.write_text(f"""
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 1000
  metric_buffer_limit = 100000
{buffer}  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{run.broker_port}"]
  topics = ["sensors/+/+"]
  qos = 1
  persistent_session = true
  client_id = "telegraf-in"
  max_undelivered_messages = 1000
  data_format = "json"
[[outputs.mqtt]]
  servers = ["tcp://127.0.0.1:{run.server_port}"]
  topic = "telegraf"
  qos = 1
  layout = "batch"
  data_format = "json"
""")
    return [str(run.program), "--config", str(file)], {}


def _thingsboard(run: Run) -> Command:
    (run.folder / "data").mkdir(exist_ok=True)
    (run.folder / "logs").mkdir(exist_ok=True)
    gateway = {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": run.server_port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "maxPayloadSizeBytes": 65_536,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "qos": 1,
            "security": {"type": "accessToken", "accessToken": "bench"},
            "reportStrategy": {"type": "ON_RECEIVED"},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
            **dict.fromkeys(_THINGSBOARD_RATES, "0:0"),
        },
        "storage": {
            "type": "sqlite",
            "data_file_path": f"{run.folder}/data/",
            "max_read_records_count": 1000,
            "messages_ttl_check_in_hours": 1,
            "messages_ttl_in_days": 7,
        },
        "grpc": {"enabled": False},
        "connectors": [{"type": "mqtt", "name": "sensors", "configuration": "mqtt.json"}],
    }
    device = {
        "deviceNameExpressionSource": "topic",
        "deviceNameExpression": "(?<=sensors/)(.*)",
        "deviceProfileExpressionSource": "constant",
        "deviceProfileExpression": "default",
    }
    values = [{"type": "double", "key": "value", "value": "${value}"}]
    converter = {"type": "json", "deviceInfo": device, "timeout": 60_000, "attributes": [], "timeseries": values}
    mqtt = {
        "broker": {
            "host": "127.0.0.1",
            "port": run.broker_port,
            "clientId": "thingsboard-in",
            "version": 4,
            "maxMessageNumberPerWorker": 10,
            "maxNumberOfWorkers": 100,
            "cleanSession": False,
            "security": {"type": "anonymous"},
        },
        "mapping": [{"topicFilter": "sensors/+/+", "subscriptionQos": 1, "converter": converter}],
    }
    (run.folder / "tb_gateway.json").write_text(json.dumps(gateway))
    (run.folder / "mqtt.json").write_text(json.dumps(mqtt))
    logs = {"version": 1, "disable_existing_loggers": False, "root": {"level": "ERROR", "handlers": []}}
    (run.folder / "logs.json").write_text(json.dumps(logs))
    environment = {"TB_GW_CONFIG_DIR": str(run.folder), "TB_GW_LOGS_PATH": str(run.folder / "logs")}
    return [str(run.program)], environment


_THINGSBOARD_RATES = (
    "rateLimits",
    "dpRateLimits",
    "messagesRateLimits",
    "deviceMessagesRateLimits",
    "deviceRateLimits",
    "deviceDpRateLimits",
)


def _ekuiper(run: Run) -> Command:
    for folder in ("data", "log", "plugins", "etc/sources", "etc/sinks", "etc/functions", "etc/services"):
        (run.folder / folder).mkdir(parents=True, exist_ok=True)
    api, cli = free_port(), free_port()
    (run.folder / "api-port").write_text(str(api))
    (run.folder / "etc" / "kuiper.yaml").write_text(f"""
basic:
  logLevel: error
  fileLog: true
  ip: 127.0.0.1
  port: {cli}
  restIp: 127.0.0.1
  restPort: {api}
  pprof: false
rule:
  qos: 1
  checkpointInterval: 10000
sink:
  enableCache: true
  memoryCacheThreshold: 1024
  maxDiskCache: 1024000
  bufferPageSize: 256
  resendInterval: 10ms
store:
  type: sqlite
""")
    (run.folder / "etc" / "mqtt_source.yaml").write_text(
        f'default:\n  qos: 1\n  server: "tcp://127.0.0.1:{run.broker_port}"\n  protocolVersion: "3.1.1"\n'
    )
    return [str(run.program)], {"KuiperBaseKey": str(run.folder)}


def _ekuiper_rule(run: Run) -> None:
    """Create stream and rule over the REST interface, once it answers."""
    api = f"http://127.0.0.1:{(run.folder / 'api-port').read_text()}"
    stream = 'CREATE STREAM readings () WITH (TYPE="mqtt", DATASOURCE="sensors/+/+", FORMAT="json")'
    _post(f"{api}/streams", {"sql": stream})
    server = {"server": f"tcp://127.0.0.1:{run.server_port}", "topic": "ekuiper", "qos": 1, "enableCache": True}
    rule = {
        "id": "forward",
        "sql": "SELECT value, time, meta(topic) AS topic FROM readings",
        "actions": [{"mqtt": server}],
        "options": {"qos": 1, "checkpointInterval": 10_000},
    }
    _post(f"{api}/rules", rule)


def _post(url: str, body: object) -> None:
    request = urllib.request.Request(  # noqa: S310 # loopback
        url, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + API_SECONDS
    while True:
        try:
            with opener.open(request, timeout=10.0):
                return
        except urllib.error.HTTPError as error:
            with error:
                raise PeerError(f"{url}: {error.read().decode(errors='replace')[:200]}") from error
        except OSError as error:
            if time.monotonic() > deadline:
                raise PeerError(f"{url}: {error}") from error
            time.sleep(0.5)


_NO_LIMITS = {"maxPayloadSize": 65_536, "maxInflightMessages": 1_000, "rateLimits": {}, "gatewayRateLimits": {}}
_SESSION_LIMITS = Answer(b"getSessionLimits", "v1/devices/me/rpc/response/1", json.dumps(_NO_LIMITS).encode())

PEERS: dict[str, Peer] = {
    "thingsboard_gateway": Peer(
        "thingsboard_gateway",
        "the program thingsboard-gateway in an environment of its own",
        "QoS 1 in with a persistent session, sqlite storage, QoS 1 out, no rate limits",
        _thingsboard,
        answer=_SESSION_LIMITS,
    ),
    "telegraf": Peer(
        "telegraf",
        "the program telegraf",
        "QoS 1 in with a persistent session, acknowledged when delivered, buffer in memory, QoS 1 out",
        _telegraf,
    ),
    "telegraf_disk": Peer(
        "telegraf",
        "the program telegraf",
        "as telegraf, with buffer_strategy disk",
        _telegraf_disk,
    ),
    "ekuiper": Peer(
        "ekuiper",
        "the program kuiperd",
        "QoS 1 in, rule qos 1 with a checkpoint every 10 s, sink cache in sqlite, QoS 1 out",
        _ekuiper,
        _ekuiper_rule,
    ),
}
PROGRAMS: dict[str, str] = {peer.program: peer.help for peer in PEERS.values()}
