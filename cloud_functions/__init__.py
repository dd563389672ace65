"""Cloud functions: queues -> ingest -> table -> alerting, and the api that reads them; see template.yaml.

Knows ``wire`` and nothing of the edge. ``core`` is pure, ``adapters`` speak to one AWS service a file, and each
function's ``app.py`` has a ``lambda_handler`` that wires the two.
"""
