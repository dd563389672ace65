"""Unit tests of the cloud functions, with in-memory fakes of the ports."""
