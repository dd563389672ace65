"""Price model: prices of AWS, charges of a fleet from measured figures, and of the account at its present rate."""
