"""Examples for the help of each command; a test parses all of them."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "alerts": ("strandline alerts --open", "strandline alerts acknowledge ID --comment 'valve is being changed'"),
    "build": (
        "strandline build",
        "strandline build --nucleus lite",
        "strandline build --offline --arch aarch64 --python 3.13 --extras modbus",
    ),
    "chaos": ("strandline chaos --minutes 30 --seed 1", "strandline chaos --profile lite --json"),
    "component": ("strandline component list", "strandline component logs SensorReader --follow"),
    "cost": ("strandline cost --gateways 50 --series 40", "strandline cost --compare --json"),
    "deadletters": ("strandline deadletters list", "strandline deadletters redrive --all"),
    "demo": ("strandline demo", "strandline demo --duration 60 --keep-running --open"),
    "deployment": (
        "strandline deployment create --recipeDir R --artifactDir A --merge io.strandline.Forwarder=0.1.0",
        "strandline deployment create --update-config @changes.json",
    ),
    "detect": (
        "strandline detect history.csv",
        "strandline detect history.csv --time timestamp --values flow,pressure",
        "strandline detect history.csv --time timestamp --values flow --calibrate 1464 --out scores --png",
        "strandline detect history.csv --time timestamp --model model.zip",
    ),
    "doctor": (
        "strandline doctor",
        "strandline doctor --broker 192.168.1.10 --user gw",
        "strandline doctor --endpoint abc-ats.iot.eu-central-1.amazonaws.com --json",
    ),
    "erase": ("strandline erase --gateway gw-1 --series 'person-counter*' --wait",),
    "forecast": (
        "strandline forecast history.csv --time timestamp --values level --high 90",
        "strandline forecast --gateway gw-1 --series tank-1.level --low 10 --hours 72",
    ),
    "gateway": ("strandline gateway provision gw-1 --bucket my-artifacts",),
    "gateways": ("strandline gateways", "strandline gateways gw-1 --json"),
    "inspect": ("strandline inspect batch.bin", "strandline inspect - --json"),
    "page": ("strandline page --issuer https://issuer.example --client-id 123",),
    "publish": ("strandline publish --bucket my-artifacts --dry-run",),
    "rules": ("strandline rules", "strandline rules put hot rule.json", "strandline rules dry-run rule.json --days 7"),
    "series": ("strandline series gw-1 'pump*'", "strandline series gw-1 --rows pump-1.flow --resolution 15m"),
    "silences": ("strandline silences", "strandline silences add works --hours 4 --gateways 'gw-*'"),
    "sim": ("strandline sim --broker 127.0.0.1:1883 --rate 5",),
    "source": (
        "strandline source learn localhost:1883 --seconds 30",
        "strandline source test sources.json --once",
        "strandline source try --payload payload.json --topic tele/boiler/SENSOR --preset tasmota",
    ),
    "train": (
        "strandline train --data history.csv --group pump",
        "strandline train --data recordings --group pump --values flow --exclude 2026-03-01..2026-03-04",
    ),
    "up": (
        "strandline up --broker 192.168.1.10",
        "strandline up --broker mqtt.example:8883 --user gw --ca ca.pem",
        "strandline up --broker localhost --topics 'hall/#' --duration 600",
    ),
}


def epilog(command: str) -> str:
    """Return the end of a command's help, which is not wrapped."""
    lines = EXAMPLES.get(command, ())
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""
