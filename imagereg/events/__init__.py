"""What is told to others: events to where the operator wants them, and the audit."""
