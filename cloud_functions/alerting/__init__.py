"""Tables' streams -> alerts -> SNS, EventBridge and MQTT; see :mod:`cloud_functions.core.alerting`."""
