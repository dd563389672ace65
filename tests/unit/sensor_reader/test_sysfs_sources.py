"""1-Wire thermometers and industrial I/O sensors are read from trees of files like those of Linux."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.sensor_reader.thread_site import ThreadSite


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)


def thermometer(root: Path, name: str, millidegrees: int, check: str = "YES") -> None:
    text = f"72 01 4b 46 7f ff 0e 10 57 : crc=57 {check}\n72 01 4b 46 7f ff 0e 10 57 t={millidegrees}\n"
    write(root / name, w1_slave=text)


def test_thermometers_are_read_and_broken_ones_rejected(tmp_path: Path) -> None:
    thermometer(tmp_path, "28-0000001", 23_125)
    thermometer(tmp_path, "28-0000002", -55)
    thermometer(tmp_path, "28-0000003", 20_000, check="NO")
    thermometer(tmp_path, "28-0000004", 85_000)
    write(tmp_path / "w1_bus_master1", name="w1")
    write(tmp_path / "28-0000005")
    with ThreadSite("onewire", {"path": str(tmp_path)}, name="w") as site:
        site.poll_until(lambda: site.counters["onewire_failed"] == 3 and len(site.values) == 2)
    assert site.values == {"w.28-0000001": 23.125, "w.28-0000002": -0.055}
    assert set(site.units.values()) == {"Cel"}


def test_channels_are_scaled_to_their_units(tmp_path: Path) -> None:
    write(
        tmp_path / "iio:device0",
        name="bme280\n",
        in_temp_input="21500\n",
        in_humidityrelative_input="45120\n",
        in_pressure_input="101.325\n",
    )
    write(
        tmp_path / "iio:device1",
        name="ads1015\n",
        in_voltage0_raw="1000\n",
        in_voltage_scale="2.0\n",
        in_voltage1_raw="junk\n",
        in_temp_raw="100\n",
        in_temp_offset="-50\n",
        in_temp_scale="10\n",
        sampling_frequency="5\n",
    )
    with ThreadSite("iio", {"path": str(tmp_path)}, name="i") as site:
        site.poll_until(lambda: len(site.values) == 5)
    assert site.values == pytest.approx(
        {
            "i.bme280.temp": 21.5,
            "i.bme280.humidityrelative": 45.12,
            "i.bme280.pressure": 101.325,
            "i.ads1015.voltage0": 2.0,
            "i.ads1015.temp": 0.5,
        }
    )
    assert site.units["i.ads1015.voltage0"] == "V"
    assert site.counters["iio_failed"] >= 1


@pytest.mark.source_quality("unreachable", "iio", "onewire")
@pytest.mark.parametrize("kind", ["onewire", "iio"])
def test_a_missing_folder_is_reported_and_tried_again(kind: str, tmp_path: Path) -> None:
    with ThreadSite(kind, {"path": str(tmp_path / "none")}) as site:
        site.poll_until(lambda: site.counters["source_disconnected"] == 1)
        assert "does not exist" in site.source.health()["failure"]
