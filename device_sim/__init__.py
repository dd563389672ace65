"""The whole system on a laptop: simulated sensors, a local nucleus and a local cloud.

The recipes, the component zips, the SAM template and the Lambda functions are those that are deployed in the field.
"""
