"""Client of API v1: types of the answers, requests with retries, and access by a stack or by an address."""
