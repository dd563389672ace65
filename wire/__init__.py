"""The contract between edge and cloud: what a batch holds, how it is written, and where it is sent.

Everything that crosses from a gateway to the cloud, or from one component to the next, is a :class:`wire.model.Batch`
encoded by :mod:`wire.codec` and published on a topic of :mod:`wire.topics`; the one signal that returns is a
:class:`wire.acknowledgement.Acknowledgement`. This package imports nothing else of the project.
"""
