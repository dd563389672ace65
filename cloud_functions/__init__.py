"""Cloud functions: queues -> ingest -> table -> alerting, and the api that reads them; see template.yaml.

Depends on ``wire`` and not on the edge. ``core`` is pure, each file of ``adapters`` uses one AWS service, and each
function's ``app.py`` has a ``lambda_handler`` that connects the two.
"""
