"""The functions on Google Cloud: wiring to HTTP requests, and their infrastructure."""
