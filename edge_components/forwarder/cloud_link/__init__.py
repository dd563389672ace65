"""Connection to the cloud: the port (port.py), and one adapter a file: greengrass.py and mqtt.py."""
