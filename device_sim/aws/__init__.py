"""The local AWS: starts an emulator as a child process and deploys cloud_functions/template.yaml unchanged.

``local.LocalCloud`` is the entry point; ``store.CloudStore`` reads the stored data, ``cost`` estimates the AWS charges.
"""
