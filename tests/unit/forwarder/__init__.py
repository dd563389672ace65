"""The forwarder: spool, uplink and the loop around them."""
