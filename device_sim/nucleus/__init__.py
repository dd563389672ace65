"""A local AWS IoT Greengrass v2: unmodified components run on it as on a gateway.

Its place: the four components' recipes and zips come in (:mod:`recipes`, :mod:`artifacts`, :mod:`resolution`),
:mod:`deployments` works out what is to run, :mod:`supervisor` runs it, and the components speak to :mod:`server` in the
event-stream RPC that ``awsiotsdk`` knows; :mod:`bridge` carries what is for IoT Core. ``python -m device_sim.nucleus``
starts one, :mod:`process` starts that from Python.
"""
