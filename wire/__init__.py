"""Contract between edge and cloud: data model, batch format, acknowledgements and topics.

All data from a gateway to the cloud, or from one component to the next, is a :class:`wire.model.Batch` encoded by
:mod:`wire.codec` and published on a topic of :mod:`wire.topics`. The only signal in the other direction is a
:class:`wire.acknowledgement.Acknowledgement`. This package imports nothing else of the project.
"""
