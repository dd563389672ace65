"""Work in an AWS account that the stack's template cannot do: gateways, component versions."""
