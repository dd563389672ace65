"""Forms of a notification: pure builders of texts and payloads, each with the escaping of where it is shown."""
