"""A local Azure: Azurite for tables, queues and blobs, and a stand-in of IoT Hub."""
