"""Adapters of Azure: Table storage, Blob storage, queues and IoT Hub. Installed by the extra ``azure``."""
