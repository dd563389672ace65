"""A local AWS IoT Greengrass v2 that runs the components unmodified, as child processes.

:mod:`recipes`, :mod:`artifacts` and :mod:`resolution` read the recipes and zips of the components; :mod:`deployments`
computes the components to run and :mod:`supervisor` runs them. The components call :mod:`server` in the event-stream
RPC of ``awsiotsdk``; :mod:`bridge` carries the messages for IoT Core. ``python -m device_sim.greengrass`` starts a
nucleus; :mod:`process` starts one from Python.
"""
