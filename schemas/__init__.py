"""What crosses a boundary: policies, config records, verdicts, enforcement, dead letters, status."""
