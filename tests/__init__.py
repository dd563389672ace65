"""Tests by what they need: unit and property nothing, contract the repo's files, integration and e2e processes."""
