"""The machines of the demo that have a protocol of their own; all others publish JSON over MQTT."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from device_sim.simulation.devices import Device
from device_sim.simulation.event_loop import EventLoopThread
from device_sim.simulation.modbus_device import ModbusDevice
from device_sim.simulation.opcua_device import OpcuaDevice
from device_sim.simulation.sensor_broker import SensorBroker
from device_sim.simulation.signals import Plant
from device_sim.simulation.sparkplug_node import SparkplugNode
from edge_components.common.ports import Clock

MODBUS, OPCUA, SPARKPLUG = "pump-3", "coldroom-2", "tank-2"


@dataclass(frozen=True, slots=True)
class DeviceServers:
    """The servers of the devices, which start while the broker and the cloud do."""

    plant: Plant
    modbus: ModbusDevice
    opcua: OpcuaDevice

    @classmethod
    def start(cls, plant: Plant, clock: Clock, stack: contextlib.ExitStack) -> DeviceServers:
        """Begin to start the servers; ``stack`` stops them."""
        loop = stack.enter_context(EventLoopThread("devices"))
        machines = {machine.name: machine for machine in plant.machines}
        modbus = stack.enter_context(ModbusDevice(machines[MODBUS], loop, clock))
        opcua = stack.enter_context(OpcuaDevice(machines[OPCUA], loop))
        return cls(plant, modbus, opcua)

    def devices(self, broker: SensorBroker, clock: Clock, stack: contextlib.ExitStack) -> tuple[Device, ...]:
        """Connect the node to the broker, wait for the servers, and return all devices."""
        machine = next(machine for machine in self.plant.machines if machine.name == SPARKPLUG)
        node = stack.enter_context(SparkplugNode(machine, broker.host, broker.port, clock))
        self.opcua.wait_until_listening()
        return self.modbus, self.opcua, node
